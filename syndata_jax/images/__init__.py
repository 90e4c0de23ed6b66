"""What synthetic images are worth, and what they give away."""

from syndata_jax.images.halves import Halves, halves
from syndata_jax.images.quality import quality
from syndata_jax.images.spaces import (
  FEATURES,
  PIXELS,
  Public,
  Space,
  inception,
  trained,
  trained_on,
)

__all__ = [
  "FEATURES",
  "PIXELS",
  "Halves",
  "Public",
  "Space",
  "halves",
  "inception",
  "quality",
  "trained",
  "trained_on",
]
