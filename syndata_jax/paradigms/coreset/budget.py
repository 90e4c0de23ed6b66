"""How many examples each model keeps of each group.

A group is a class where the selection is balanced, and all data where it is
not. All models keep equally many examples in total, although their class
counts differ, so that nothing is ragged.
"""

import numpy as np

from syndata_jax.data.training_set import Private
from syndata_jax.errors import UserError
from syndata_jax.paradigms.coreset.options import Options


def groups(options: Options, private: Private) -> np.ndarray:
  """The group of every member, i32[M,n]: its label as trained, or zero."""
  labels = private.labels[private.members]
  return (labels if options.balanced else np.zeros_like(labels)).astype(
    np.int32
  )


def quotas(options: Options, private: Private) -> np.ndarray:
  """Examples to keep, int[M,G]; every row has the same sum.

  A fraction keeps round(fraction * n) examples of each model and deals them to
  the classes in proportion to the model's own class counts, the largest
  remainders first (ties to the lower class). Where n_c is the count of class
  c, its quota is fraction * n_c within one.

  Raises:
    UserError: a fraction of nothing, or a class smaller than its quota (which
      class, which model).
  """
  group = groups(options, private)
  num_groups = private.num_classes if options.balanced else 1
  counts = np.stack([np.bincount(own, minlength=num_groups) for own in group])
  if options.images_per_class:
    return _the_same(options.images_per_class, counts)
  size = group.shape[1]
  total = round(options.fraction * size)
  if not total:
    raise UserError(
      f"fraction={options.fraction:g}: must keep at least one of the {size}"
      " examples of one model"
    )
  return np.stack([_largest_remainder(total, own) for own in counts])


def _the_same(images_per_class: int, counts: np.ndarray) -> np.ndarray:
  if counts.min() < images_per_class:
    model, group = np.unravel_index(counts.argmin(), counts.shape)
    raise UserError(
      f"images_per_class={images_per_class}: must be at most {counts.min()},"
      f" what class {group} has in model {model}"
    )
  return np.full_like(counts, images_per_class)


def _largest_remainder(total: int, counts: np.ndarray) -> np.ndarray:
  """Splits `total` in proportion to `counts`; never more than a count."""
  shares, remainders = np.divmod(total * counts, counts.sum())
  missing = total - shares.sum()
  shares[np.argsort(-remainders, kind="stable")[:missing]] += 1
  return shares
