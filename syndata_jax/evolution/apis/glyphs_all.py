"""Glyphs whose characters belong to no class: the votes say what is what."""

from syndata_jax.evolution.apis import glyphs
from syndata_jax.evolution.apis.options import ApiOptions


def make(
  image_shape: tuple[int, int, int], num_classes: int, options: ApiOptions
) -> glyphs.GlyphApi:
  """As `glyphs.make`, with any number of characters."""
  return glyphs.make(image_shape, num_classes, options, every=True)
