"""LiRA: the likelihood-ratio attack, each model attacked with all the others.

Source: Carlini et al., "Membership Inference Attacks From First Principles"
(2022), algorithm 1 (online), with the leave-one-out evaluation of Aerni,
Zhang and Tramer, "Evaluations of Machine Learning Privacy Defenses are
Misleading" (2024). Against the first: centres are means and not medians,
standard deviations are sample ones (ddof = 1), and the log-likelihoods of the
views are averaged instead of modelled by one multivariate Gaussian.
"""

from typing import Literal

import numpy as np

from syndata_jax.attack import moments, validate
from syndata_jax.attack.moments import Moments

Variance = Literal["per_example", "global"]

# Scores that are all equal have no spread; their likelihood must stay finite.
_STD_FLOOR = 1e-30


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
  # Model-major: each step below then works on one contiguous [Q, A] block.
  targets = np.ascontiguousarray(scores.transpose(1, 0, 2))  # [M, Q, A]
  inside = membership.T[:, :, None]  # [M, Q, 1]
  ratio = _log_likelihood(targets, inside, variance)
  ratio -= _log_likelihood(targets, ~inside, variance)
  return ratio.T


def _log_likelihood(targets, chosen, variance):
  """Mean log-density of each target under the other chosen models: [M, Q]."""
  models = list(zip(targets, chosen, strict=True))
  # One score of one model is a set of one number, or none if it is not chosen.
  alone = np.zeros(1)
  centres = [Moments(size.astype(float), s, alone) for s, size in models]
  spreads = centres
  if variance == "global":
    spreads = [moments.of(s[rows[:, 0]]) for s, rows in models]
  result = np.empty(targets.shape[:2])
  rest = zip(*map(moments.all_but_one, (centres, spreads)), strict=True)
  for model, (centre, spread) in enumerate(rest):
    std = spread.std() + _STD_FLOOR
    z = (targets[model] - centre.mean) / std
    # The constant log(2 pi) / 2 is left out: it cancels in the ratio.
    result[model] = (-np.log(std) - z * z / 2).mean(axis=-1)
  return result


def _validate(scores, membership, variance):
  if variance not in ("per_example", "global"):
    raise ValueError(
      f"variance is {variance!r}: 'per_example' or 'global' allowed"
    )
  if scores.ndim != 3 or scores.shape[:2] != membership.shape:
    raise ValueError(
      f"scores {scores.shape} and membership {membership.shape} do not match: "
      "[Q, M, A] and [Q, M] needed"
    )
  if not np.isfinite(scores).all():
    raise ValueError("scores hold a value that is not finite")
  validate.both_sides(membership, "membership")
