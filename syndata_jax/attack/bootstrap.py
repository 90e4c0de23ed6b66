"""Resampled examples and resampled models: how the figures of an audit move.

The Q x M scores of an audit are not independent: a row shares its example and
a column its model. Both are drawn again with replacement, and a score counts
as often as the product of its row's and its column's draws: the pigeonhole
bootstrap (Owen, "The pigeonhole bootstrap", 2007), whose intervals are never
too narrow for such a table and may be somewhat wide.

Three limits. The attack scores are kept as they are: LiRA is not fitted again
to resampled models. An example drawn twice ties with itself, so false positives
come in larger steps and the intervals at a very low FPR lean downwards. And
rows 2k and 2k + 1 of a split's membership are complements of each other: the
pairing balances the number of members in each model, and is no property of the
examples, so rows are drawn one by one, not in pairs. Replicates are then less
balanced than the split itself, which again widens the intervals.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from syndata_jax.attack import roc


class Draws(NamedTuple):
  """How often each replicate holds each example and each model."""

  examples: np.ndarray  # i32[R, Q], rows sum to Q
  models: np.ndarray  # i32[R, M], rows sum to M


def draw(
  num_examples: int,
  num_models: int,
  replicates: int,
  generator: np.random.Generator,
) -> Draws:
  """Draws examples and models with replacement, `replicates` times.

  Args:
    num_examples: Q, of the audit.
    num_models: M.
    replicates: R.
    generator: of the draws; examples first.
  """

  def counts(size: int) -> np.ndarray:
    chance = np.full(size, 1 / size)
    return generator.multinomial(size, chance, replicates).astype(np.int32)

  return Draws(counts(num_examples), counts(num_models))


def replicates(
  scores: np.ndarray, membership: np.ndarray, draws: Draws
) -> np.ndarray:
  """The figures of every replicate, f64[at most R, L + 2]; see `figures`.

  Args:
    scores: real[Q, M], finite; high means member.
    membership: bool[Q, M].
    draws: of the same Q and M. A replicate that holds no member or no
      non-member has no ROC curve and is left out.

  Raises:
    ValueError: see `roc.rank`; draws of other sizes, or none that can be
      used.
  """
  membership = np.asarray(membership, bool)
  sizes = (draws.examples.shape[1], draws.models.shape[1])
  if membership.shape != sizes:
    raise ValueError(f"draws are for {sizes}: {membership.shape} needed")
  ranking = roc.rank(scores, membership)
  drawn = [
    _figures(ranking, np.outer(examples, models))
    for examples, models in _with_both_classes(draws, membership)
  ]
  if not drawn:
    raise ValueError("no replicate holds members and non-members: draw more")
  return np.array(drawn)


def figures(scores: np.ndarray, membership: np.ndarray) -> np.ndarray:
  """f64[L + 2]: the TPR at each level, AUC, balanced accuracy.

  Args:
    scores: real[Q, M], finite; high means member.
    membership: bool[Q, M].
  """
  ones = np.ones(np.shape(membership), np.int32)
  return _figures(roc.rank(scores, membership), ones)


def _figures(ranking: roc.Ranking, weights: np.ndarray) -> np.ndarray:
  curve = ranking.curve(weights)
  tprs = curve.tpr_at(np.array(roc.FPR_LEVELS))
  return np.append(tprs, [curve.auc(), curve.balanced_accuracy()])


def _with_both_classes(
  draws: Draws, membership: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """The replicates, i32[Q] and i32[M], that have a ROC curve."""
  members = ((draws.examples @ membership) * draws.models).sum(axis=1)
  usable = (members > 0) & (members < membership.size)
  return zip(draws.examples[usable], draws.models[usable], strict=True)
