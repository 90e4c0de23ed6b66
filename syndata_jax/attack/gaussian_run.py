"""Lower bounds on epsilon from gradient canaries of DP-SGD, seen step by step.

Each of k canaries is included by a fair coin of its own; its score is the dot
product of all noisy sums together with its direction. A sum over many steps of
Gaussian noise (and of the steps that the canary took part in) is close to
Gaussian, so the scores of absent and present canaries show two Gaussians, and
the bound is the epsilon at which one of them hides from the other: Agrawal et
al., "Let's Ask Gauss: Improved One-Run Privacy Auditing" (arXiv 2606.12733);
Andrew et al., "One-shot Empirical Privacy Estimation" (arXiv 2302.03098).
Guesses (`one_run`) end where all are right, at the logarithm of their number;
this bound does not, which is how large claims can be refuted.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize, special, stats

from syndata_jax import validate
from syndata_jax.attack.epsilon import GuaranteeBroken
from syndata_jax.attack.one_run import guessed_bound
from syndata_jax.privacy.gaussian import gaussian_epsilon
from syndata_jax.rounding import rounded_down, rounded_up

# Nodes of the integral over the standard deviation.
_NODES = 1024


class GradientCanaries(NamedTuple):
  """What a white-box audit has seen: k canaries in each of M models."""

  scores: np.ndarray  # f32[k, M], high means present
  included: np.ndarray  # bool[k, M], independent fair coins


def gradient_canaries(
  scores: Any, included: Any, num_models: int
) -> GradientCanaries:
  """Checks what came from a file.

  Args:
    scores: real[k, M], finite as f32.
    included: bool[k, M], or 0 and 1.
    num_models: M.

  Raises:
    ValueError: an array that is missing or not as above.
  """
  scores, included = np.asarray(scores), np.asarray(included)
  if scores.ndim != 2 or scores.dtype.kind not in "fiu" or not scores.size:
    raise ValueError("white_box_scores: must be float[canaries, models]")
  if scores.shape[1] != num_models:
    raise ValueError(
      f"white_box_scores are of {scores.shape[1]} models: must be {num_models}"
    )
  with np.errstate(over="ignore"):
    scores = scores.astype(np.float32)
  if not np.isfinite(scores).all():
    raise ValueError("white_box_scores: must be finite")
  if included.shape != scores.shape or not np.isin(included, (0, 1)).all():
    raise ValueError(
      "white_box_included: must be bool of the shape of white_box_scores,"
      f" {list(scores.shape)}"
    )
  return GradientCanaries(scores, included.astype(bool))


class WhiteBoxBound(NamedTuple):
  """What gradient canaries have shown about epsilon."""

  epsilon: float  # lower bound in nats, the larger of the two below
  neighbours: str  # the relation it holds for
  delta: float
  confidence: float  # that the bound is not too large
  coins: int  # that decided which canaries are included
  largest: float  # the most that scores without any noise would show
  premise: str  # what the bound rests on, or why there is none
  gaussian: float  # from the two Gaussians
  guessed: float  # from guesses, which assumes nothing about the scores


def white_box_bound(
  canaries: GradientCanaries, delta: float, confidence: float = 0.95
) -> WhiteBoxBound:
  """Bounds epsilon of one model from below, by all models.

  The larger of two bounds, each at half of 1 - confidence: `gaussian_bound`,
  and that of Steinke et al. (`one_run`), which needs no shape of the scores. A
  coin decides about one canary in one model, so M models that are each
  (epsilon, delta)-DP are (epsilon, delta)-DP in every coin.

  Args:
    canaries: their scores and coins.
    delta: of the claim, between 0 and 1.
    confidence: between 0.5 and 1.

  Returns:
    The bound, for adding or removing one example.

  Raises:
    ValueError: an array or number that is not as above.
  """
  scores, included = _checked(canaries, delta, confidence)
  half = (1 + confidence) / 2
  # Of all canaries of a model: calibration that no coin enters.
  centred = scores - np.median(scores, axis=0)
  guessed = guessed_bound(
    centred.ravel(), included.ravel(), False, delta, half
  )[0]
  canaries = GradientCanaries(scores, included)
  gaussian = gaussian_bound(canaries, delta, half)
  noiseless = GradientCanaries(included.astype(np.float64), included)
  largest = gaussian_bound(noiseless, delta, half)
  premise = (
    "every canary is included by a fair coin of its own; the noisy sums of all"
    " steps are seen; scores are Gaussian, as under the noise that is claimed"
  )
  if not largest:
    premise = "no bound: too few canaries, or their coins fell alike"
  return WhiteBoxBound(
    epsilon=max(gaussian, guessed) if largest else 0.0,
    neighbours="add_or_remove_one",
    delta=delta,
    confidence=confidence,
    coins=included.size,
    largest=largest,
    premise=premise,
    gaussian=gaussian,
    guessed=guessed,
  )


def gaussian_bound(
  canaries: GradientCanaries, delta: float, confidence: float = 0.95
) -> float:
  """Epsilon of two Gaussians at the least distance that the scores allow.

  With d the distance of the means of present and absent canaries of a model,
  over the standard deviation within both groups, sqrt(S) d is what a
  two-sample t statistic is about, where S sums n1 n0 / (n1 + n0) over models:
  Student's noncentral distribution gives an exact lower bound on d, and
  `privacy.gaussian` the epsilon of N(0, 1) and N(d, 1) at delta.

  What is exact and what is not:

  - Scores that are independent Gaussians of one variance: confidence is exact.
  - Present canaries vary more, since sampling adds the variance of a
    binomial. With the two variances in their place, epsilon of the pair is at
    least that of the mean variance (a threshold above the mean of the present
    gains true and loses false alarms), so one variance errs on the safe side;
    groups of fair coins have nearly equal sizes, where Student's distribution
    still holds.
  - Sums of few steps at a small rate are not Gaussian. Their epsilon at the
    usual deltas is larger than that of the Gaussians of their moments, as the
    tests compute.
  - A mechanism whose noise is not Gaussian at all may have a smaller epsilon
    than this bound: what is refuted then is the claim of Gaussian noise.

  Canaries need not be independent of each other where they share something, as
  the offset of a model: whoever looks for one of them sees the others.

  Args:
    canaries: see there; f32 or f64.
    delta: between 0 and 1.
    confidence: of the bound, between 0.5 and 1.

  Returns:
    Epsilon in nats, for one example added or removed; 0 where nothing is
    shown.

  Raises:
    ValueError: an array or number that is not as above.
  """
  scores, included = _checked(canaries, delta, confidence)
  present, absent = included.sum(0), (~included).sum(0)
  usable = (present > 0) & (absent > 0)
  scores, included = scores[:, usable], included[:, usable]
  present, absent = present[usable], absent[usable]
  degrees = included.size - 2 * len(present)
  if degrees < 1:
    return 0.0
  high = np.where(included, scores, 0).sum(0) / present
  low = np.where(included, 0, scores).sum(0) / absent
  weight = present * absent / (present + absent)
  shift = np.sum(weight * (high - low)) / weight.sum()
  residual = scores - np.where(included, high, low)
  # Scores are no more accurate than the float32 that they were summed in.
  rounding = np.finfo(np.float32).eps * np.abs(scores).max()
  variance = max(np.sum(residual**2) / degrees, rounding**2)
  if not variance or shift <= 0:
    return 0.0
  statistic = math.sqrt(weight.sum()) * shift / math.sqrt(variance)
  least = least_noncentrality(statistic, degrees, 1 - confidence)
  return gaussian_epsilon(max(0.0, least) / math.sqrt(weight.sum()), delta)


def check_white_box_claim(bound: WhiteBoxBound, claimed: float) -> None:
  """Raises GuaranteeBroken if the gradient canaries refute a claim.

  Args:
    bound: what they have shown.
    claimed: epsilon in nats at the bound's delta, for adding or removing one
      example.
  """
  if bound.epsilon > claimed:
    raise GuaranteeBroken(
      f"epsilon is at least {rounded_down(bound.epsilon)}, above the claimed "
      f"{rounded_up(claimed)} ({bound.neighbours}, delta {bound.delta:g}, "
      f"confidence {bound.confidence:.0%}: white-box gradient canaries, "
      f"{bound.coins:,} coins)"
    )


def least_noncentrality(
  statistic: float, degrees: int, significance: float
) -> float:
  """The exact lower confidence limit of a noncentral t.

  Args:
    statistic: t, positive.
    degrees: of freedom of its denominator, at least 1.
    significance: the chance that the limit is too large.

  Returns:
    The noncentrality under which as large a t has this chance.
  """
  # Given the denominator, t is normal: averaged over its equally likely values.
  middle = (np.arange(_NODES) + 0.5) / _NODES
  scale = statistic * np.sqrt(stats.chi2.ppf(middle, degrees) / degrees)

  def excess(noncentrality: float) -> float:
    return float(special.ndtr(noncentrality - scale).mean()) - significance

  # At the lower end even the smallest node is seven deviations away.
  low, high = scale[0] - 7, scale[-1] + 7
  return float(optimize.brentq(excess, low, high, xtol=1e-10))


def _checked(
  canaries: GradientCanaries, delta: float, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
  """f64[k, M] scores and bool[k, M] coins, or ValueError.

  Args:
    canaries: not checked yet.
    delta: between 0 and 1.
    confidence: between 0.5 and 1.
  """
  scores = np.asarray(canaries.scores, np.float64)
  included = np.asarray(canaries.included, bool)
  if scores.ndim != 2 or scores.shape != included.shape or not scores.size:
    raise ValueError(
      f"scores {scores.shape} and included {included.shape}: the same shape"
      " [canaries, models] needed, not empty"
    )
  if not np.isfinite(scores).all():
    raise ValueError("scores hold a value that is not finite")
  validate.within(0, 1, "()", delta=delta)
  validate.within(0.5, 1, "()", confidence=confidence)
  return scores, included
