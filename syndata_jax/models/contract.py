"""What the engine asks of a network, tried on shapes: nothing is computed."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from syndata_jax.errors import UserError

_COLLECTIONS = {"batch_stats", "params"}


def check(
  model: nn.Module,
  image_shape: tuple[int, int, int],
  num_classes: int,
  dtype: jnp.dtype,
  name: str | None = None,
) -> None:
  """Refuses a network that the engine could not train or query.

  It is called as `model.apply(variables, images[B,H,W,C], train)`, gets no
  random numbers, returns logits f32[B,K], and keeps nothing but parameters and
  the running statistics of batch norm.

  Args:
    model: the network.
    image_shape: (H, W, C).
    num_classes: K.
    dtype: of the images that it reads.
    name: what the config calls it, for errors; that of its class by default.

  Raises:
    UserError: which of these does not hold. What the network itself raises on
      such images is passed on.
  """
  prefix = f"model={name or type(model).__name__!r}"
  images = jax.ShapeDtypeStruct((2, *image_shape), dtype)
  try:
    inspect.signature(model.__call__).bind(images, True)
  except TypeError as error:
    raise UserError(
      f"{prefix}: its __call__ must take (images, train): {error}"
    ) from error

  def trial(images: jax.Array) -> tuple[Any, Any, Any]:
    variables = model.init(jax.random.key(0), images, False)
    queried = model.apply(variables, images, False)
    trained, _ = model.apply(variables, images, True, mutable=["batch_stats"])
    return variables, queried, trained

  variables, *results = jax.eval_shape(trial, images)
  others = sorted(set(variables) - _COLLECTIONS)
  if others:
    raise UserError(
      f"{prefix}: keeps variables {', '.join(others)}: must keep only params"
      " and batch_stats"
    )
  if not jax.tree.leaves(variables.get("params", {})):
    raise UserError(f"{prefix}: must have parameters")
  wanted = f"float32[2,{num_classes}]"
  for result in results:
    array = isinstance(result, jax.ShapeDtypeStruct)
    shape = ",".join(map(str, result.shape)) if array else ""
    said = f"{result.dtype}[{shape}]" if array else type(result).__name__
    if said != wanted:
      raise UserError(
        f"{prefix}: returns {said} for two images: must be logits {wanted}"
      )
