"""What a trained network says of each of its model's own members."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from syndata_jax import models
from syndata_jax.ensemble import Engine
from syndata_jax.ensemble.epoch import Own, Pool
from syndata_jax.ensemble.predict import batch_size
from syndata_jax.paradigms.coreset.scores import Outputs


def outputs(engine: Engine, variables: Any, images: jax.Array) -> Outputs:
  """Embedding and logits of a batch u8[B,H,W,C], in evaluation mode."""
  return Outputs(
    *models.outputs(engine.model, variables, engine.normalise(images))
  )


def over_members(
  function: Callable[[jax.Array, jax.Array], jax.Array], own: Own, pool: Pool
) -> jax.Array:
  """Applies `(images[B], labels[B]) -> [B,...]` to all members, [n,...].

  In batches, one after another, so that no more than one batch of activations
  is held.
  """
  size = own.members.shape[0]
  batch = batch_size(size)
  count = -(-size // batch)
  rows = own.members[jnp.arange(count * batch) % size].reshape(count, batch)
  found = lax.map(lambda r: function(pool.images[r], pool.labels[r]), rows)
  return found.reshape(-1, *found.shape[2:])[:size]
