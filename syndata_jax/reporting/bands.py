"""How far a ROC curve may move: an interval of its TPR at every FPR."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from syndata_jax import keys
from syndata_jax.attack import bootstrap, roc

_POINTS = 120
_TAIL = 0.025  # of each side: 95%


class Band(NamedTuple):
  """Pointwise ends of an interval, each f64[P]."""

  fpr: np.ndarray  # ascending
  low: np.ndarray
  high: np.ndarray


def roc_band(
  scores: np.ndarray,
  membership: np.ndarray,
  seed: int = 0,
  replicates: int = 200,
) -> Band:
  """The 95% interval of the TPR from one false positive up to an FPR of one.

  As in the table, of two intervals the ends that lie further out: percentiles
  of the pigeonhole bootstrap over examples and models, and that of Clopper and
  Pearson, in which an example counts once.

  Args:
    scores: f64[Q, M], finite; high means member.
    membership: bool[Q, M], with members and non-members.
    seed: of the resampling.
    replicates: how many; those without members or non-members are left out.
  """
  scores, membership = np.asarray(scores), np.asarray(membership, bool)
  nonmembers = membership.size - int(membership.sum())
  fpr = np.geomspace(1 / nonmembers, 1, _POINTS)
  fpr[0], fpr[-1] = 1 / nonmembers, 1
  ranking = roc.rank(scores, membership)
  draws = bootstrap.draw(
    scores.shape[0],
    scores.shape[1],
    replicates,
    keys.generator(seed, "reporting/roc_band"),
  )
  tpr = ranking.curve(np.ones(scores.shape, np.int32)).tpr_at(fpr)
  drawn = [tpr]
  for examples, models in zip(*draws, strict=True):
    weights = np.outer(examples, models)
    if 0 < (weights * membership).sum() < weights.sum():
      drawn.append(ranking.curve(weights).tpr_at(fpr))
  low, high = np.quantile(drawn, [_TAIL, 1 - _TAIL], axis=0)
  examples = np.count_nonzero(membership.any(axis=1))
  right, wrong = tpr * examples, (1 - tpr) * examples
  # Of no right ones, and of no wrong ones, SciPy's quantile is NaN.
  lower = np.nan_to_num(stats.beta.ppf(_TAIL, right, wrong + 1), nan=0.0)
  upper = np.nan_to_num(stats.beta.ppf(1 - _TAIL, right + 1, wrong), nan=1.0)
  # A curve never falls, and so its ends do not either.
  low = np.maximum.accumulate(np.minimum(low, lower))
  return Band(
    fpr, np.minimum(low, tpr), np.maximum(np.maximum(high, upper), tpr)
  )
