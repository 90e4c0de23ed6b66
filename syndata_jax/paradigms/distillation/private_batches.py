"""Private images of every class, drawn anew for each update.

A class with fewer members than a batch has places is taken whole, as the
authors' code of DC, DSA and DM does (`get_images`): each class of each model by
itself, so that a rare one makes no other's batch smaller. A class without any
is refused. There would be no batch to match, and whatever stood in for it, an
image of another class or one left as it began, would tell the audit of a
method that nobody proposed; worse, which models have the class is what the
attack is to find out.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax.data.training_set import Private
from syndata_jax.ensemble import Pool
from syndata_jax.errors import UserError
from syndata_jax.paradigms.distillation.setup import Setup, Shadow


class Batch(NamedTuple):
  """Private images of every class, and which of the B places hold one."""

  images: jax.Array  # f32[K,B,H,W,C], as the network reads them
  counted: jax.Array  # bool[K,B]; others repeat an image and count nothing


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
    UserError: which class, which model, and what can be done.
  """
  counts = class_counts(private)
  if not counts.min():
    model, label = np.unravel_index(counts.argmin(), counts.shape)
    raise UserError(
      f"method={method!r}: class {label} has no members in model {model}: must"
      " have one in every model to be matched; use more training images, fewer"
      " canaries, or leave the class out"
    )


def places(real_batch: int, private: Private) -> int:
  """B: places of a batch, no more than the largest class of a model fills."""
  return max(1, min(real_batch, int(class_counts(private).max())))


def by_class(
  private: Private, real_batch: int
) -> tuple[np.ndarray, np.ndarray]:
  """Each model's members by trained label.

  Args:
    private: of all models.
    real_batch: B, places that there are in any case.

  Returns:
    (rows i32[M,K,n] of the pool, counts i32[M,K]): the first `counts` of each
    n are the class's members. The rest repeat one of them, or one of the
    model's where the class has none; no row is another model's.
  """
  counts = class_counts(private)
  models, num_classes = counts.shape
  width = max(real_batch, counts.max())
  rows = np.zeros((models, num_classes, width), np.int32)
  for model, members in enumerate(private.members):
    for label in range(num_classes):
      of_class = members[private.labels[members] == label]
      rows[model, label, : len(of_class)] = of_class
      filler = of_class[0] if len(of_class) else members[0]
      rows[model, label, len(of_class) :] = filler
  return rows, counts


def draw(setup: Setup, key: jax.Array, shadow: Shadow, pool: Pool) -> Batch:
  """A batch of every class without replacement; a smaller class is whole.

  Args:
    setup: B, and how the network reads pixels.
    key: of this batch.
    shadow: whose members they are.
    pool: that these are rows of.
  """
  num_classes, width = shadow.by_class.shape
  order = jnp.arange(width)
  # The width, which the largest class of all models decides, comes first: so
  # it changes nothing in the chance of a place.
  chance = jax.random.uniform(key, (width, num_classes)).T
  chance = jnp.where(order < shadow.counts[:, None], chance, jnp.inf)
  chosen = jnp.argsort(chance, axis=1)[:, : setup.real_batch]
  rows = jnp.take_along_axis(shadow.by_class, chosen, axis=1)
  assert pool.images is not None
  images = setup.read(pool.images[rows], shadow.whitening)
  return Batch(images, order[: setup.real_batch] < shadow.counts[:, None])


def mean(values: jax.Array, counted: jax.Array) -> jax.Array:
  """The mean over the counted, [...,B,*] by bool[...,B] -> [...,*]."""
  axis = counted.ndim - 1
  weights = counted.reshape(counted.shape + (1,) * (values.ndim - counted.ndim))
  return (values * weights).sum(axis) / weights.sum(axis)
