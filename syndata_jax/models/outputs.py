"""What a network says of images, and what its last layer reads."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from syndata_jax.errors import UserError
from syndata_jax.models import watch


def logits(model: nn.Module, variables: Any, images: jax.Array) -> jax.Array:
  """Logits f32[B,K] in evaluation mode, of any network.

  Args:
    model: called as `model(images, train)`.
    variables: of one model.
    images: floating [B,H,W,C], normalised.
  """
  values: Any = model.apply(variables, images, False)
  return values


def outputs(
  model: nn.Module,
  variables: Any,
  images: jax.Array,
  reader: str = "an embedding",
) -> tuple[jax.Array, jax.Array]:
  """Embedding f32[B,D] and logits f32[B,K] in evaluation mode.

  The embedding is what the last linear layer reads: the `nn.Dense` whose
  result is returned as the logits.

  Args:
    model: as in `logits`.
    variables: of one model.
    images: floating [B,H,W,C], normalised.
    reader: who needs the embedding, for errors.

  Raises:
    UserError: the last layer is another one.
  """
  with watch.calls([nn.Dense]) as seen:
    values: Any = model.apply(variables, images, False)
  last = [call for call in seen if call.output is values]
  if len(last) != 1:
    raise UserError(
      f"model={type(model).__name__}: {reader} needs a network whose last layer"
      " is nn.Dense or syndata_jax.models.layers.Classifier"
    )
  return last[0].inputs[0].astype(jnp.float32), values


def check_embedding(
  model: nn.Module, image_shape: tuple[int, int, int], reader: str
) -> None:
  """Refuses a network without an embedding before anything is trained.

  Args:
    model: as in `logits`.
    image_shape: (H, W, C).
    reader: who needs the embedding, such as `method='herding'`, for errors.

  Raises:
    UserError: see `outputs`.
  """

  def trial(images: jax.Array) -> tuple[jax.Array, jax.Array]:
    variables = model.init(jax.random.key(0), images, False)
    return outputs(model, variables, images, reader)

  jax.eval_shape(
    trial, jax.ShapeDtypeStruct((1, *image_shape), jnp.dtype("float32"))
  )
