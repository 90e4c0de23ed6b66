"""What any of the networks says of images, and what its last layer reads."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from syndata_jax.models.layers import Classifier


def outputs(
  model: nn.Module, variables: Any, images: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Embedding f32[B,D] and logits f32[B,K] in evaluation mode.

  Args:
    model: of this package.
    variables: of one model.
    images: floating [B,H,W,C], normalised.
  """
  seen: list[jax.Array] = []

  def watch(call, args, kwargs, context):
    if type(context.module) is Classifier:
      seen.append(args[0])
    return call(*args, **kwargs)

  with nn.intercept_methods(watch):
    logits: Any = model.apply(variables, images, False)
  (embedding,) = seen
  return embedding.astype(jnp.float32), logits
