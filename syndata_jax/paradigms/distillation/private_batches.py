"""Private images of every class, drawn anew for each update."""

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax.data.training_set import Private
from syndata_jax.ensemble import Pool
from syndata_jax.errors import UserError
from syndata_jax.paradigms.distillation.setup import Setup, Shadow


def class_counts(private: Private) -> np.ndarray:
  """Each model's members of every class, by trained label, i32[M,K]."""
  each = [
    np.bincount(private.labels[members], minlength=private.num_classes)
    for members in private.members
  ]
  return np.stack(each).astype(np.int32)


def check(method: str, private: Private) -> None:
  """Refuses a class of which a model has no image to match.

  Raises:
    UserError: which class, which model.
  """
  counts = class_counts(private)
  if not counts.min():
    model, label = np.unravel_index(counts.argmin(), counts.shape)
    raise UserError(
      f"method={method!r}: class {label} has no members in model {model}: at"
      " least one in every model needed"
    )


def by_class(private: Private) -> tuple[np.ndarray, np.ndarray]:
  """Each model's members by trained label.

  Returns:
    (rows i32[M,K,n] of the pool, counts i32[M,K]): the first `counts` of each
    n are the class's members. The rest repeat one of them, or one of the
    model's where the class has none; no row is another model's.
  """
  counts = class_counts(private)
  models, num_classes = counts.shape
  rows = np.zeros((models, num_classes, counts.max()), np.int32)
  for model, members in enumerate(private.members):
    for label in range(num_classes):
      of_class = members[private.labels[members] == label]
      rows[model, label, : len(of_class)] = of_class
      filler = of_class[0] if len(of_class) else members[0]
      rows[model, label, len(of_class) :] = filler
  return rows, counts


def draw(setup: Setup, key: jax.Array, shadow: Shadow, pool: Pool) -> jax.Array:
  """A batch of every class without replacement, f32[K,B,H,W,C], as read.

  Args:
    setup: B, and how the network reads pixels.
    key: of this batch.
    shadow: whose members they are.
    pool: that these are rows of.
  """
  places = jnp.arange(shadow.by_class.shape[1])
  chance = jax.random.uniform(key, shadow.by_class.shape)
  chance = jnp.where(places < shadow.counts[:, None], chance, jnp.inf)
  chosen = jnp.argsort(chance, axis=1)[:, : setup.real_batch]
  rows = jnp.take_along_axis(shadow.by_class, chosen, axis=1)
  assert pool.images is not None
  return setup.read(pool.images[rows], shadow.whitening)
