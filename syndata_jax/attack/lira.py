"""LiRA: the likelihood-ratio attack, each model attacked with all the others.

Source: Carlini et al., "Membership Inference Attacks From First Principles"
(2022), algorithm 1 (online), with the leave-one-out evaluation of Aerni,
Zhang and Tramer, "Evaluations of Machine Learning Privacy Defenses are
Misleading" (2024). Against the first: centres are means and not medians,
standard deviations are sample ones (ddof = 1), and the log-likelihoods of the
views are averaged instead of modelled by one multivariate Gaussian.
"""

from typing import Literal, get_args

import numpy as np

from syndata_jax import validate
from syndata_jax.attack import checks, moments

Variance = Literal["per_example", "global"]

# Scores that are all equal have no spread; their likelihood must stay finite.
_VARIANCE_FLOOR = 1e-60

# Scores worked on at once: few enough for a core's cache, and for memory that
# malloc keeps rather than maps anew (128 KiB).
_BLOCK = 1 << 14


def lira(
  scores: np.ndarray,
  membership: np.ndarray,
  variance: Variance = "per_example",
) -> np.ndarray:
  """Log-likelihood ratio of IN against OUT, leave-one-out, mean over views.

  For target model t, example i and view a, one Gaussian is fitted to the
  scores of the other models that trained on i and one to those of the other
  models that did not:

    mean over a of [log N(s; m_in, s_in^2) - log N(s; m_out, s_out^2)].

  `per_example` fits both standard deviations to (i, a) alone. `global` pools
  them over all examples and views, for IN and OUT apart, with the centres
  still those of (i, a): fewer numbers to estimate, so more power when models
  are few. It is the spread of the raw scores, so differences between examples
  widen it.

  Args:
    scores: real[Q, M, A]; high means member, see `scores.py`.
    membership: bool[Q, M], at least 3 members and 3 non-members in each row,
      so that 2 of each are left when the target model is taken out. Rows need
      not be balanced.
    variance: `per_example` or `global`.

  Returns:
    f64[Q, M]; high means member.

  Raises:
    ValueError: shapes that do not match, scores that are not finite, too few
      members or non-members, or an unknown `variance`.
  """
  scores = np.asarray(scores, np.float64)
  membership = np.asarray(membership, bool)
  _validate(scores, membership, variance)
  pooled = None
  if variance == "global":
    pooled = _pooled(scores, membership), _pooled(scores, ~membership)
  ratio = np.empty(membership.shape)
  rows = max(1, _BLOCK // scores[0].size)
  for start in range(0, len(scores), rows):
    block = slice(start, start + rows)
    ratio[block] = _ratio(scores[block], membership[block], pooled)
  return ratio


def _ratio(
  scores: np.ndarray,
  membership: np.ndarray,
  pooled: tuple[np.ndarray, np.ndarray] | None,
) -> np.ndarray:
  """The result for some of the examples, f64[Q, M]."""
  # Examples last: sizes, which all views share, then broadcast over rows.
  targets = np.ascontiguousarray(scores.transpose(1, 2, 0))  # [M, A, Q]
  gap_in, variance_in = _fit(targets, membership.T)
  gap_out, variance_out = _fit(targets, ~membership.T)
  if pooled:
    variance_in, variance_out = pooled
  variance_in = variance_in + _VARIANCE_FLOOR
  variance_out = variance_out + _VARIANCE_FLOOR
  ratio = np.log(variance_out / variance_in)
  ratio = ratio + gap_out**2 / variance_out - gap_in**2 / variance_in
  return ratio.mean(axis=1).T / 2


def _fit(
  targets: np.ndarray, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Each target against the other chosen models.

  Leaving one out by subtracting it from a total loses all digits when the one
  left out is the outlier, which is the very case an attack looks for. Here
  every sum is over the others alone, and of distances to a pivot that lies
  within their range: whoever is left out, two of any three are there, and so
  is either their middle one or a score on each side of it. The squared
  distance from there to the mean of n others is at most twice the sum of
  their squared deviations, so that subtracting it costs no more than a factor
  of 1 + 2n of the rounding error.

  Args:
    targets: f64[M, A, Q].
    chosen: bool[M, Q], at least 3 in each column.

  Returns:
    Distance of the target to the mean of the others, and their sample
    variance (ddof = 1), both f64[M, A, Q].
  """
  models = len(targets)
  others = 1.0 - np.eye(models)
  # A stable sort of booleans: the chosen first.
  three = np.argsort(~chosen, axis=0, kind="stable")[:3, None]
  a, b, c = np.take_along_axis(targets, three, axis=0)
  pivot = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
  gap = targets - pivot
  gap_of_chosen = gap * chosen[:, None]
  size = (others @ chosen)[:, None]
  total = (others @ gap_of_chosen.reshape(models, -1)).reshape(gap.shape)
  square_of_chosen = np.square(gap_of_chosen, out=gap_of_chosen)
  squares = (others @ square_of_chosen.reshape(models, -1)).reshape(gap.shape)
  mean = total / size
  squares -= total * mean
  squares /= size - 1
  gap -= mean
  return gap, squares


def _pooled(scores: np.ndarray, chosen: np.ndarray) -> np.ndarray:
  """Variance of all chosen scores but those of one model, f64[M, 1, 1]."""
  models = zip(scores.transpose(1, 0, 2), chosen.T, strict=True)
  sets = [moments.of(scores[rows]) for scores, rows in models]
  rests = [rest.variance() for rest in moments.all_but_one(sets)]
  return np.reshape(rests, (-1, 1, 1))


def _validate(
  scores: np.ndarray, membership: np.ndarray, variance: str
) -> None:
  validate.one_of(get_args(Variance), variance=variance)
  if scores.ndim != 3 or scores.shape[:2] != membership.shape:
    raise ValueError(
      f"scores {scores.shape} and membership {membership.shape} do not match: "
      "[Q, M, A] and [Q, M] needed"
    )
  if not np.isfinite(scores).all():
    raise ValueError("scores hold a value that is not finite")
  checks.both_sides(membership, "membership")
