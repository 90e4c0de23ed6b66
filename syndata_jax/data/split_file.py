"""The file of a split: `split.npz`, checked where it is read."""

import numpy as np

from syndata_jax import files
from syndata_jax.data.split import AuditSplit, is_member
from syndata_jax.errors import UserError, prefixed


def save_split(path: files.Path, split: AuditSplit) -> None:
  """Writes a split as .npz: the whole file appears, or none of it does."""
  with files.write_stream(path) as stream:
    np.savez_compressed(stream, **split._asdict())


def load_split(path: files.Path) -> AuditSplit:
  """Reads what `save_split` wrote, equal to it; nothing is unpickled.

  Raises:
    UserError: no such file, a damaged one, or arrays that do not fit together.
  """
  arrays = files.read_arrays(path, lambda name: name in AuditSplit._fields)
  with prefixed(str(path)):
    for name in AuditSplit._fields:
      if name not in arrays:
        raise UserError(
          f"{name} is missing: must hold {', '.join(AuditSplit._fields)}"
        )
    split = AuditSplit(**arrays)
    _check_types(split)
    _check_membership(split)
  return split


def _check_types(split: AuditSplit) -> None:
  """Raises UserError unless all fields have their dtype and their axes."""
  for name, array in split._asdict().items():
    dtype = np.dtype(bool if name.endswith("membership") else np.int32)
    axes = 1 if name.endswith(("index", "labels")) else 2
    if array.dtype != dtype or array.ndim != axes:
      raise UserError(
        f"{name} is {array.dtype}{list(array.shape)}: must be "
        f"{axes}-dimensional {dtype}"
      )


def _check_membership(split: AuditSplit) -> None:
  """Raises UserError unless the members are those that membership says."""
  num_models, num_examples = len(split.members), len(split.labels)
  for name, index_name in (
    ("membership", "canary_index"),
    ("average_membership", "average_index"),
    ("dummy_membership", "dummy_index"),
  ):
    membership, index = getattr(split, name), getattr(split, index_name)
    if membership.shape != (len(index), num_models):
      raise UserError(
        f"{name} has shape {list(membership.shape)}: must be [{len(index)}, "
        f"{num_models}]"
      )
    # Dummies are rows of the test images, whose number no array here says.
    if name == "dummy_membership":
      if index.size and index.min() < 0:
        raise UserError(
          f"dummy_index holds {index.min()}: must be rows of the test images"
        )
      continue
    if index.size and not 0 <= index.min() <= index.max() < num_examples:
      raise UserError(
        f"{index_name} spans {index.min()}..{index.max()}: must lie in 0.."
        f"{num_examples - 1}"
      )
  member = is_member(
    num_examples,
    split.canary_index,
    split.membership,
    split.average_index,
    split.average_membership,
  )
  if split.dummy_labels.shape != split.dummy_index.shape:
    raise UserError(
      f"dummy_labels has {len(split.dummy_labels)} entries: must be"
      f" {len(split.dummy_index)}, as dummy_index"
    )
  # Ascending rows, so that equal sets are equal arrays.
  rows = np.nonzero(member)[1]
  if not np.array_equal(split.members.ravel(), rows):
    raise UserError("members are not those that membership says: delete it")
