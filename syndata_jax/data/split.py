"""Which examples are audited, and which models train on each.

Two designs. With shadow models membership is bi-regular: each audited example
is in exactly half the models, and each model has exactly half the audited
examples. The first is the LiRA design of Carlini et al. (2022) as Aerni et al.
(2024) use it; the second is ours, where they draw each example's half apart
and the sizes of the training sets vary. Equal sizes keep every array
rectangular, and give each model the same number of steps and the same sampling
rate. With one model (Steinke et al., 2023) each audited example is included by
a fair coin of its own.
"""

from typing import NamedTuple

import numpy as np

from syndata_jax import files, keys, validate
from syndata_jax.errors import UserError, prefixed

KINDS = ("mislabelled", "clean", "blank", "out_of_distribution")


class AuditSplit(NamedTuple):
  """The audited examples and the training set of each shadow model."""

  canary_index: np.ndarray  # i32[Q], rows of the pool
  labels: np.ndarray  # i32[N], canaries relabelled
  membership: np.ndarray  # bool[Q, M]
  members: np.ndarray  # i32[M, n], ascending
  average_index: np.ndarray  # i32[V], ordinary examples that are audited too
  average_membership: np.ndarray  # bool[V, M]


def make_split(
  labels: np.ndarray,
  num_canaries: int,
  num_models: int,
  num_classes: int,
  kind: str,
  seed: int,
  num_average: int = 0,
) -> AuditSplit:
  """Chooses canaries, relabels them, and deals them to the shadow models.

  With one seed, the canaries of a smaller audit are the first ones of a larger
  audit: same examples, same labels, same membership. The same holds for the
  average examples. So results of two sizes are comparable canary by canary.

  Args:
    labels: integer[N] in [0, num_classes), the true labels of the pool.
    num_canaries: Q, even, at least 2.
    num_models: M, even, at least 2.
    num_classes: K, at least 2.
    kind: `mislabelled` gives a label uniform over the K - 1 wrong ones;
      `blank` one uniform over all K, for the image of `plant`; `clean` and
      `out_of_distribution` keep the label.
    seed: names all draws of the split.
    num_average: V, even: ordinary examples that are held out of half the
      models too, with their true label.

  Returns:
    The split. An example that is not audited is a member of every model, so
    n = N - (Q + V) / 2.

  Raises:
    UserError: a number or kind that is not as above, or Q + V over N.
  """
  labels = np.asarray(labels)
  _validate(labels, num_canaries, num_classes, kind, num_average)
  for name, value, least in (
    ("num_models", num_models, 2),
    ("num_canaries", num_canaries, 2),
    ("num_average", num_average, 0),
  ):
    if value < least or value % 2:
      raise UserError(f"{name}={value}: must be even and at least {least}")
  membership = _deal(num_canaries, num_models, seed, "split.canaries")
  average_membership = _deal(num_average, num_models, seed, "split.average")
  return _split(labels, membership, average_membership, num_classes, kind, seed)


def make_coin_split(
  labels: np.ndarray,
  num_canaries: int,
  num_classes: int,
  kind: str,
  seed: int,
  num_average: int = 0,
) -> AuditSplit:
  """The split of an audit with one model: a fair coin for each example.

  The design of Steinke, Nasr and Jagielski, "Privacy Auditing with One (1)
  Training Run" (2023), algorithm 1. With one seed the audited examples and
  their labels are those of `make_split`, and those of a smaller audit are the
  first ones of a larger audit, coins included.

  The number of members is N - (Q + V) / 2 on average only. Training that uses
  it, as a sampling rate B / n does, treats it as public.

  Args:
    labels: as in `make_split`.
    num_canaries: Q, at least 2.
    num_classes: as in `make_split`.
    kind: as in `make_split`.
    seed: names all draws of the split.
    num_average: V, 0 or at least 2.

  Returns:
    The split, with M = 1.

  Raises:
    UserError: a number or kind that is not as above, Q + V over N, or coins
      that all fell alike.
  """
  labels = np.asarray(labels)
  _validate(labels, num_canaries, num_classes, kind, num_average)
  membership = _toss("num_canaries", num_canaries, seed)
  average_membership = np.zeros((0, 1), bool)
  if num_average:
    average_membership = _toss("num_average", num_average, seed)
  return _split(labels, membership, average_membership, num_classes, kind, seed)


def _split(
  labels: np.ndarray,
  membership: np.ndarray,
  average_membership: np.ndarray,
  num_classes: int,
  kind: str,
  seed: int,
) -> AuditSplit:
  """Chooses and relabels the examples of a membership of equal column sums.

  Args:
    labels: integer[N], the true ones.
    membership: bool[Q, M] of the canaries.
    average_membership: bool[V, M].
    num_classes: K.
    kind: of the canaries.
    seed: names the draws of examples and labels.
  """
  num_canaries = len(membership)
  num_average = len(average_membership)
  order = keys.generator(seed, "split.order").permutation(len(labels))
  # Average examples come from the other end: neither number moves the other's.
  canary_index = order[:num_canaries]
  average_index = order[::-1][:num_average]

  is_member = _is_member(
    len(labels), canary_index, membership, average_index, average_membership
  )
  return AuditSplit(
    canary_index=canary_index.astype(np.int32),
    labels=_relabel(labels, canary_index, num_classes, kind, seed),
    membership=membership,
    members=_rows(is_member),
    average_index=average_index.astype(np.int32),
    average_membership=average_membership,
  )


def _is_member(
  num_examples: int,
  canary_index: np.ndarray,
  membership: np.ndarray,
  average_index: np.ndarray,
  average_membership: np.ndarray,
) -> np.ndarray:
  """bool[M, N]: who trains on what; on what is not audited, every model.

  Args:
    num_examples: N.
    canary_index: integer[Q].
    membership: bool[Q, M].
    average_index: integer[V].
    average_membership: bool[V, M].
  """
  is_member = np.ones((membership.shape[1], num_examples), bool)
  is_member[:, canary_index] = membership.T
  is_member[:, average_index] = average_membership.T
  return is_member


def _rows(is_member: np.ndarray) -> np.ndarray:
  """i32[M, n], the rows where bool[M, N] is true, as many in each model."""
  rows = np.nonzero(is_member)[1].reshape(len(is_member), -1)
  return rows.astype(np.int32)


def _deal(
  num_examples: int, num_models: int, seed: int, purpose: str
) -> np.ndarray:
  """bool[num_examples, num_models] in pairs of a row and its complement.

  The even row is a uniformly random half of the models. A pair puts exactly
  one example in each model, so column sums are exact for every even number of
  rows and never need repair: that is what lets a smaller audit be a prefix of
  a larger one. Each row alone is still uniform, which is all that LiRA uses;
  rows of different pairs are independent.

  Args:
    num_examples: even.
    num_models: even.
    seed: with the purpose, names the draw.
    purpose: of the stream.
  """
  draws = keys.generator(seed, purpose).random((num_examples // 2, num_models))
  half = draws.argsort(axis=1).argsort(axis=1) < num_models // 2
  return np.stack([half, ~half], axis=1).reshape(num_examples, num_models)


def _toss(name: str, num_examples: int, seed: int) -> np.ndarray:
  """bool[num_examples, 1], independent and fair; both sides are there."""
  validate.at_least(2, **{name: num_examples})
  draws = keys.generator(seed, f"split.coins.{name}")
  coins = draws.random((num_examples, 1)) < 0.5
  if coins.all() == coins.any():
    raise UserError(
      f"{name}={num_examples}: all coins fell alike; more examples or another"
      " seed needed"
    )
  return coins


def _relabel(
  labels: np.ndarray,
  canary_index: np.ndarray,
  num_classes: int,
  kind: str,
  seed: int,
) -> np.ndarray:
  """i32[N], the labels with those of the canaries as `make_split` says.

  Args:
    labels: integer[N], the true ones.
    canary_index: integer[Q], rows of the pool.
    num_classes: K.
    kind: of the canaries.
    seed: names the draw.
  """
  changed = labels.astype(np.int32)
  random = keys.generator(seed, "split.labels")
  # Drawn for the whole pool, so that no draw depends on the number of canaries.
  if kind == "mislabelled":
    distance = random.integers(1, num_classes, len(labels))
    changed[canary_index] = ((labels + distance) % num_classes)[canary_index]
  elif kind == "blank":
    drawn = random.integers(0, num_classes, len(labels))
    changed[canary_index] = drawn[canary_index]
  return changed


def _validate(
  labels: np.ndarray,
  num_canaries: int,
  num_classes: int,
  kind: str,
  num_average: int,
) -> None:
  """Raises UserError for what no split can be made of.

  Args:
    labels: integer[N], the true ones.
    num_canaries: Q.
    num_classes: K.
    kind: of the canaries.
    num_average: V.
  """
  validate.one_of(KINDS, canary_kind=kind)
  validate.at_least(2, num_classes=num_classes)
  if labels.ndim != 1 or labels.dtype.kind not in "iu":
    raise UserError(
      f"labels is {labels.dtype}{list(labels.shape)}: must be integer[N]"
    )
  if num_canaries + num_average > len(labels):
    raise UserError(
      f"num_canaries={num_canaries} and num_average={num_average}: must be at "
      f"most {len(labels)} together, the size of the pool"
    )
  if labels.min() < 0 or labels.max() >= num_classes:
    raise UserError(
      f"labels spans {labels.min()}..{labels.max()}: must lie in 0.."
      f"{num_classes - 1}"
    )


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
  ):
    membership, index = getattr(split, name), getattr(split, index_name)
    if membership.shape != (len(index), num_models):
      raise UserError(
        f"{name} has shape {list(membership.shape)}: must be [{len(index)}, "
        f"{num_models}]"
      )
    if index.size and not 0 <= index.min() <= index.max() < num_examples:
      raise UserError(
        f"{index_name} spans {index.min()}..{index.max()}: must lie in 0.."
        f"{num_examples - 1}"
      )
  is_member = _is_member(
    num_examples,
    split.canary_index,
    split.membership,
    split.average_index,
    split.average_membership,
  )
  # Ascending rows, so that equal sets are equal arrays.
  rows = np.nonzero(is_member)[1]
  if not np.array_equal(split.members.ravel(), rows):
    raise UserError("members are not those that membership says: delete it")
