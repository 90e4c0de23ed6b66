"""Private images of every class, drawn anew for each update."""

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax.ensemble.epoch import Pool
from syndata_jax.paradigms.distillation.setup import Setup, Shadow
from syndata_jax.paradigms.interface import Private


def by_class(private: Private) -> tuple[np.ndarray, np.ndarray]:
  """Each model's members by trained label.

  Returns:
    (rows i32[M,K,n] of the pool, counts i32[M,K]): the first `counts` of each
    n are the class's members, the rest repeat one of them.
  """
  models, _ = private.members.shape
  classes = range(private.num_classes)
  labels = private.labels[private.members]
  counts = np.stack([(labels == k).sum(axis=1) for k in classes], axis=1)
  rows = np.zeros((models, len(classes), counts.max()), np.int32)
  for model in range(models):
    for k in classes:
      own = private.members[model][labels[model] == k]
      rows[model, k, : len(own)] = own
      rows[model, k, len(own) :] = own[0] if len(own) else 0
  return rows, counts.astype(np.int32)


def draw(setup: Setup, key: jax.Array, shadow: Shadow, pool: Pool) -> jax.Array:
  """A batch of every class without replacement, f32[K,B,H,W,C], as read."""
  places = jnp.arange(shadow.by_class.shape[1])
  chance = jax.random.uniform(key, shadow.by_class.shape)
  chance = jnp.where(places < shadow.counts[:, None], chance, jnp.inf)
  chosen = jnp.argsort(chance, axis=1)[:, : setup.real_batch]
  rows = jnp.take_along_axis(shadow.by_class, chosen, axis=1)
  return setup.read(pool.images[rows], shadow.whitening)
