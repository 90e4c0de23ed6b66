"""What trains and queries shadow models: network, recipe, layout, pixels."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from syndata_jax.data import augmentation
from syndata_jax.ensemble.layout import Layout
from syndata_jax.ensemble.recipe import Recipe


class Engine(NamedTuple):
  """The tools that every paradigm shares.

  A paradigm may swap any of them (`engine._replace(recipe=...)`) for a stage
  of its own.
  """

  model: nn.Module
  recipe: Recipe
  layout: Layout
  mean: tuple[float, ...]  # C public channel means, pixels in [0, 1]
  std: tuple[float, ...]  # C public channel deviations
  dtype: jnp.dtype  # of the computation; parameters stay float32
  # How settings name the network: `model`, and pairs of `model_options`.
  name: str = ""
  options: tuple[tuple[str, Any], ...] = ()

  def normalise(self, images: jax.Array) -> jax.Array:
    """u8[...,H,W,C] -> what the network reads, in `dtype`.

    Floating-point images are what it reads already.
    """
    if jnp.issubdtype(images.dtype, jnp.floating):
      return images.astype(self.dtype)
    return augmentation.normalise(images, self.mean, self.std, self.dtype)

  @property
  def identity(self) -> dict[str, Any]:
    """What decides a training with these tools, JSON-ready; not the layout."""
    return {
      "model": self.name,
      "model_options": dict(self.options),
      "mean": list(self.mean),
      "std": list(self.std),
      "precision": self.dtype.name,
    } | dataclasses.asdict(self.recipe)
