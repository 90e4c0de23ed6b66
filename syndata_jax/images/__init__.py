"""What synthetic images are worth, and what they give away."""

from syndata_jax.images.halves import Halves, halves
from syndata_jax.images.quality import quality
from syndata_jax.images.spaces import (
  FEATURES,
  PIXELS,
  Space,
  inception,
  trained,
)

__all__ = [
  "FEATURES",
  "PIXELS",
  "Halves",
  "Space",
  "halves",
  "inception",
  "quality",
  "trained",
]
