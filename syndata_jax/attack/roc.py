"""ROC figures that are exact when scores are tied.

Tied scores cannot be told apart by any threshold, so they enter the curve
together; breaking ties by their order in memory would invent true positives.
"""

from typing import NamedTuple

import numpy as np

from syndata_jax import validate

# Where the literature reports the true positive rate.
HEADLINE_FPR = 0.001
FPR_LEVELS = (HEADLINE_FPR, 0.002, 0.005, 0.01, 0.02, 0.05)


class RocCurve(NamedTuple):
  """The points that some threshold reaches, from (0, 0) to (1, 1)."""

  fpr: np.ndarray  # f64[P], ascending
  tpr: np.ndarray  # f64[P], ascending

  def tpr_at(self, fpr: float | np.ndarray) -> np.ndarray:
    """The largest TPR whose FPR does not exceed `fpr`; no interpolation."""
    return self.tpr[np.searchsorted(self.fpr, fpr, side="right") - 1]

  def auc(self) -> float:
    """Area under the curve: P(member > non-member) + P(tie) / 2."""
    return float(np.trapezoid(self.tpr, self.fpr))

  def balanced_accuracy(self) -> float:
    """The largest (TPR + 1 - FPR) / 2 over all thresholds; never below 1/2."""
    return float((self.tpr - self.fpr).max() + 1) / 2


class Ranking(NamedTuple):
  """Scores in descending order: sorted once, weighted many times."""

  order: np.ndarray  # i64[N], positions in the flattened scores
  member: np.ndarray  # bool[N], membership in that order
  last: np.ndarray  # i64[P-1], the last rank of each group of tied scores

  def curve(self, weights: np.ndarray) -> RocCurve:
    """The curve when score n counts `weights[n]` times.

    Args:
      weights: non-negative integers, as many as scores, in the order of the
        flattened scores, whose sum their dtype can hold; some member and some
        non-member above zero. Small dtypes are faster.
    """
    weights = weights.ravel()[self.order]
    total = np.cumsum(weights, dtype=weights.dtype)[self.last]
    weights *= self.member
    true = np.cumsum(weights, dtype=weights.dtype)[self.last]
    return RocCurve(_share(total - true), _share(true))


def rank(scores: np.ndarray, membership: np.ndarray) -> Ranking:
  """Sorts scores for any number of weighted curves.

  Args:
    scores: real[...], finite; high means member.
    membership: bool[...] of the same shape.

  Raises:
    ValueError: shapes that differ, scores that are not finite, or membership
      without a member or without a non-member.
  """
  scores = np.asarray(scores)
  membership = np.asarray(membership, bool)
  if scores.shape != membership.shape:
    raise ValueError(
      f"scores {scores.shape} and membership {membership.shape}: the same "
      "shape needed"
    )
  if not np.isfinite(scores).all():
    raise ValueError("scores hold a value that is not finite")
  if not 0 < membership.sum() < membership.size:
    raise ValueError(
      f"membership has {membership.sum()} members among {membership.size}: at "
      "least one member and one non-member needed"
    )
  scores, membership = scores.ravel(), membership.ravel()
  order = np.argsort(scores, kind="stable")[::-1]
  ordered = scores[order]
  last = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(order) - 1)
  return Ranking(order, membership[order], last)


def roc_curve(scores: np.ndarray, membership: np.ndarray) -> RocCurve:
  """True against false positive rate of "member if score >= threshold".

  Args:
    scores: real[...], finite; high means member.
    membership: bool[...] of the same shape.

  Returns:
    `(fpr, tpr)`, each f64[P] with one point per distinct score after (0, 0).

  Raises:
    ValueError: see `rank`.
  """
  ranking = rank(scores, membership)
  return ranking.curve(np.ones(len(ranking.order), np.int64))


def tpr_at_fpr(scores: np.ndarray, membership: np.ndarray, fpr: float) -> float:
  """The largest TPR whose FPR does not exceed `fpr`, a fraction in 0..1."""
  validate.within(0, 1, fpr=fpr)
  return float(roc_curve(scores, membership).tpr_at(fpr))


def false_positives(fpr: float, nonmembers: int) -> int:
  """How many of `nonmembers` may be called members at an FPR in 0..1."""
  # The shares that `RocCurve.tpr_at` compares, so that both round alike.
  shares = np.arange(nonmembers + 1) / nonmembers
  return int(np.searchsorted(shares, fpr, side="right")) - 1


def threshold(nonmembers: np.ndarray, fpr: float) -> float:
  """The score that a member must exceed to be recognised at an FPR.

  Args:
    nonmembers: real[n], the scores of all non-members, n at least 1.
    fpr: in 0..1, below 1.
  """
  allowed = false_positives(fpr, len(nonmembers))
  return float(np.sort(nonmembers)[::-1][allowed])


def chance(fpr: float, nonmembers: int) -> float:
  """The mean TPR at an FPR of scores that hold nothing.

  A member is recognised if it exceeds the (k + 1)-th highest of n non-members,
  k being the false positives allowed. Where all are exchangeable, each of the
  n + 1 ranks among them is as likely, so that this happens to (k + 1) / (n + 1)
  of the members: more than the FPR, and the more so the fewer non-members.
  """
  return (false_positives(fpr, nonmembers) + 1) / (nonmembers + 1)


def auc(scores: np.ndarray, membership: np.ndarray) -> float:
  """Area under the ROC curve, ties counted half (Mann-Whitney)."""
  return roc_curve(scores, membership).auc()


def balanced_accuracy(scores: np.ndarray, membership: np.ndarray) -> float:
  """The largest (TPR + 1 - FPR) / 2 over all thresholds.

  The threshold is chosen on the scores it is judged on, so chance is slightly
  above 1/2. It is not the accuracy at the median score that Aerni et al.
  print, which never exceeds it when half of the scores are members.
  """
  return roc_curve(scores, membership).balanced_accuracy()


def _share(counts: np.ndarray) -> np.ndarray:
  """Running counts as fractions of the last one, with the leading zero."""
  share = np.zeros(len(counts) + 1)
  np.divide(counts, counts[-1], out=share[1:])
  return share
