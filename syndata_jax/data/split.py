"""Which examples are audited, and which models train on each.

Two designs. With shadow models membership is bi-regular: each audited example
is in exactly half the models, and each model has exactly half the audited
examples. The first is the LiRA design of Carlini et al. (2022) as Aerni et al.
(2024) use it; the second is ours, where they draw each example's half apart
and the sizes of the training sets vary. Equal sizes keep every array
rectangular, and give each model the same number of steps and the same sampling
rate. With one model (Steinke et al., 2023) each audited example is included by
a fair coin of its own.

Dummy canaries are made as canaries are, of test images, and dealt to models by
the same draw; but no model trains on one. What an attack finds on them is what
it finds where there is nothing.
"""

from typing import NamedTuple

import numpy as np

from syndata_jax import keys, validate
from syndata_jax.errors import UserError

KINDS = ("mislabelled", "clean", "blank", "out_of_distribution")


class AuditSplit(NamedTuple):
  """The audited examples and the training set of each shadow model."""

  canary_index: np.ndarray  # i32[Q], rows of the pool
  labels: np.ndarray  # i32[N], canaries relabelled
  membership: np.ndarray  # bool[Q, M]
  members: np.ndarray  # i32[M, n], ascending
  average_index: np.ndarray  # i32[V], ordinary examples that are audited too
  average_membership: np.ndarray  # bool[V, M]
  dummy_index: np.ndarray  # i32[D], rows of the test images
  dummy_labels: np.ndarray  # i32[D], given as those of canaries are
  dummy_membership: np.ndarray  # bool[D, M], in name alone: no model has them


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
    The split, without dummies; see `add_dummies`. An example that is not
    audited is a member of every model, so n = N - (Q + V) / 2.

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
    The split, with M = 1 and without dummies; see `add_dummies`.

  Raises:
    UserError: a number or kind that is not as above, Q + V over N, or coins
      that all fell alike.
  """
  labels = np.asarray(labels)
  _validate(labels, num_canaries, num_classes, kind, num_average)
  membership = _toss("num_canaries", num_canaries, seed)
  _check_coins("num_canaries", membership)
  average_membership = np.zeros((0, 1), bool)
  if num_average:
    average_membership = _toss("num_average", num_average, seed)
    _check_coins("num_average", average_membership)
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

  member = is_member(
    len(labels), canary_index, membership, average_index, average_membership
  )
  return AuditSplit(
    canary_index=canary_index.astype(np.int32),
    labels=_relabel(
      labels, canary_index, num_classes, kind, seed, "split.labels"
    ),
    membership=membership,
    members=_rows(member),
    average_index=average_index.astype(np.int32),
    average_membership=average_membership,
    dummy_index=np.zeros(0, np.int32),
    dummy_labels=np.zeros(0, np.int32),
    dummy_membership=np.zeros((0, membership.shape[1]), bool),
  )


def add_dummies(
  split: AuditSplit,
  test_labels: np.ndarray,
  num_classes: int,
  kind: str,
  seed: int,
  most: int | None = None,
) -> AuditSplit:
  """The same split with dummy canaries: the null of the audit.

  As many as there are canaries, or as the test images allow. Under shadow
  models they are dealt as canaries are, each in name to half of the models;
  with one model a fair coin decides. Their draws are independent of all others,
  so no statistic of a model can tell a dummy's members from its non-members.
  With one seed, the dummies of a smaller audit are the first of a larger one.

  Args:
    split: of `make_split` or `make_coin_split`.
    test_labels: integer[T] in [0, num_classes), the true ones of images that
      no model trains on.
    num_classes: as the split was made with.
    kind: as the split was made with.
    seed: as the split was made with.
    most: dummies at most, where there are images for no more.

  Returns:
    The split with D dummies, D even under shadow models. None where there are
    fewer than 2, or where the coins of so few all fell alike.
  """
  num_canaries, num_models = split.membership.shape
  test_labels = np.asarray(test_labels)
  count = min(num_canaries, len(test_labels))
  if most is not None:
    count = min(count, most)
  if num_models > 1:
    count -= count % 2
  if count < 2:
    return split
  if num_models > 1:
    membership = _deal(count, num_models, seed, "split.dummies")
  else:
    membership = _toss("num_dummies", count, seed)
    if _fell_alike(membership):
      return split
  order = keys.generator(seed, "split.dummy_order").permutation(
    len(test_labels)
  )
  index = order[:count]
  labels = _relabel(
    test_labels, index, num_classes, kind, seed, "split.dummy_labels"
  )
  return split._replace(
    dummy_index=index.astype(np.int32),
    dummy_labels=labels[index],
    dummy_membership=membership,
  )


def is_member(
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
  member = np.ones((membership.shape[1], num_examples), bool)
  member[:, canary_index] = membership.T
  member[:, average_index] = average_membership.T
  return member


def _rows(member: np.ndarray) -> np.ndarray:
  """i32[M, n], the rows where bool[M, N] is true, as many in each model."""
  rows = np.nonzero(member)[1].reshape(len(member), -1)
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
  """bool[num_examples, 1], independent and fair."""
  validate.at_least(2, **{name: num_examples})
  draws = keys.generator(seed, f"split.coins.{name}")
  return draws.random((num_examples, 1)) < 0.5


def _fell_alike(coins: np.ndarray) -> bool:
  return bool(coins.all() == coins.any())


def _check_coins(name: str, coins: np.ndarray) -> None:
  """Raises UserError unless both sides of bool[num_examples, 1] are there."""
  if _fell_alike(coins):
    raise UserError(
      f"{name}={len(coins)}: all coins fell alike; more examples or another"
      " seed needed"
    )


def _relabel(
  labels: np.ndarray,
  canary_index: np.ndarray,
  num_classes: int,
  kind: str,
  seed: int,
  purpose: str,
) -> np.ndarray:
  """i32[N], the labels with those of the canaries as `make_split` says.

  Args:
    labels: integer[N], the true ones.
    canary_index: integer[Q], rows of the pool.
    num_classes: K.
    kind: of the canaries.
    seed: with the purpose, names the draw.
    purpose: of the stream.
  """
  changed = labels.astype(np.int32)
  random = keys.generator(seed, purpose)
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
