"""What synthetic images are worth, and what they give away."""

from syndata_jax.images.halves import Halves, halves
from syndata_jax.images.quality import quality
from syndata_jax.images.spaces import PIXELS, Space, inception, trained

__all__ = [
  "PIXELS",
  "Halves",
  "Space",
  "halves",
  "inception",
  "quality",
  "trained",
]
