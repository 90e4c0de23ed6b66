"""The state of one model, and of all of them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from syndata_jax.keys import stream


class ModelState(NamedTuple):
  """One shadow model in training."""

  step: jax.Array  # i32[], steps taken
  params: Any  # float32 pytree
  batch_stats: Any  # running statistics of batch norm, {} without
  optimizer: Any  # state of the optax transformation


# The same tree with a leading axis M on every leaf: the whole ensemble.
EnsembleState = ModelState


def variables(state: ModelState) -> dict[str, Any]:
  """What `module.apply` takes."""
  return {"params": state.params, "batch_stats": state.batch_stats}


def init(
  key: jax.Array,
  model: nn.Module,
  optimizer: optax.GradientTransformation,
  image_shape: tuple[int, int, int],
) -> ModelState:
  """A fresh model from its own key; image_shape is (H, W, C)."""
  images = jnp.zeros((1, *image_shape))
  fresh = model.init(stream(key, "init"), images, False)
  params = fresh["params"]
  return ModelState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    batch_stats=fresh.get("batch_stats", {}),
    optimizer=optimizer.init(params),
  )
