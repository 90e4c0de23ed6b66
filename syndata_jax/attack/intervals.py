"""Error bars of an audit's figures.

Of a TPR two intervals are taken together, the lower of their lower ends and the
higher of their upper ones:

- the percentiles of the pigeonhole bootstrap, see `bootstrap`: how the figure
  moves with the examples and models that happened to be audited, its threshold
  included. LiRA is not fitted again, and where the figure is 100% or 0% nothing
  moves at all;
- Clopper and Pearson's of a share, in which an example counts once, however
  many models it is a member of: what it leaks in one it mostly leaks in the
  others. With 200 examples, 100% begins at 98.2% and 0% ends at 1.8%.

Together they cover the mean over repeated trainings in the simulations of
`tests/attack/test_intervals.py`, most of them with more than their 95%.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from syndata_jax.attack import bootstrap, roc


class Resampled(NamedTuple):
  """The figures of one attack, and how they move; see `bootstrap.figures`."""

  value: np.ndarray  # f64[L + 2]
  replicates: np.ndarray  # f64[R, L + 2]
  examples: int  # that are members of some model

  def interval(self, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """The ends of two-sided intervals, f64[L + 2] each, around `value`.

    Args:
      confidence: their coverage, in 0..1.
    """
    tail = (1 - confidence) / 2
    low, high = np.quantile(self.replicates, [tail, 1 - tail], axis=0)
    rates = slice(len(roc.FPR_LEVELS))
    lower, upper = share_interval(self.value[rates], self.examples, confidence)
    low[rates] = np.minimum(low[rates], lower)
    high[rates] = np.maximum(high[rates], upper)
    return np.minimum(low, self.value), np.maximum(high, self.value)

  def record(self, confidence: float = 0.95) -> dict[str, Any]:
    """Every figure with its interval, ready for JSON.

    Returns:
      `tpr_at_fpr` (keyed by the FPR as text), `auc` and `balanced_accuracy`,
      each figure `{"value", "low", "high"}` in 0..1.
    """
    low, high = self.interval(confidence)
    *tprs, auc, accuracy = (
      {"value": float(v), "low": float(a), "high": float(b)}
      for v, a, b in zip(self.value, low, high, strict=True)
    )
    return {
      "tpr_at_fpr": dict(zip(map(str, roc.FPR_LEVELS), tprs, strict=True)),
      "auc": auc,
      "balanced_accuracy": accuracy,
    }


def resample(
  scores: np.ndarray, membership: np.ndarray, draws: bootstrap.Draws
) -> Resampled:
  """Judges one attack.

  Args:
    scores: real[Q, M], finite; high means member.
    membership: bool[Q, M].
    draws: of the same Q and M. Attacks judged with the same draws can be
      compared replicate by replicate.

  Raises:
    ValueError: see `roc.rank` and `bootstrap.replicates`.
  """
  replicates = bootstrap.replicates(scores, membership, draws)
  value = bootstrap.figures(scores, membership)
  examples = int(np.asarray(membership, bool).any(axis=1).sum())
  return Resampled(value, replicates, examples)


def share_interval(
  share: np.ndarray, trials: int, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
  """Clopper and Pearson's interval (1934) of a share of independent trials.

  Args:
    share: f64[...], in 0..1; of the trials, and need not be a whole number.
    trials: how many, at least 1.
    confidence: two-sided coverage.

  Returns:
    Its two ends, f64[...] each: 0 where the share is 0, and 1 where it is 1.
  """
  successes = np.asarray(share) * trials
  failures = trials - successes
  tail = (1 - confidence) / 2
  # Of no successes, and of no failures, SciPy's quantile is NaN.
  low = stats.beta.ppf(tail, successes, failures + 1)
  high = stats.beta.ppf(1 - tail, successes + 1, failures)
  return np.nan_to_num(low, nan=0.0), np.nan_to_num(high, nan=1.0)
