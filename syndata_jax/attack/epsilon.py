"""Lower bounds on epsilon from the scores of any number of models."""

import numpy as np

from syndata_jax import validate
from syndata_jax.attack import coins
from syndata_jax.attack.coins import Coins
from syndata_jax.attack.one_run import EpsilonBound, guessed_bound
from syndata_jax.rounding import rounded_down, rounded_up

# Of a bound that no claim comes with; the usual one in the literature.
DEFAULT_DELTA = 1e-5


class GuaranteeBroken(Exception):
  """An audit has refuted the claimed guarantee. The message is one line."""


def epsilon_lower_bound(
  scores: np.ndarray,
  membership: np.ndarray,
  delta: float,
  target: int | None = None,
  confidence: float = 0.95,
) -> EpsilonBound:
  """Bounds epsilon of the training of one model from below, by all models.

  The test of `one_run`, with the coins of all models together: a coin decides
  membership in one model alone, so M models that are each (epsilon, delta)-DP
  are (epsilon, delta)-DP in every single coin. Unlike a binomial interval
  around TPR and FPR (Clopper and Pearson) it does not need the canaries of one
  model to be independent, which they are not. `coins` finds out which coins are
  fair and independent, and no others are guessed; without any there is no
  bound.

  The guesses owe nothing to the coins: leave-one-out scores such as LiRA's,
  which know the coins of the other models, err together in one row, and so vary
  more than the theorem allows. Of pairs the evidence is the difference of the
  two scores, of single examples the score above the middle of its model. The
  level of the row is taken from both: its mean over the very models whose coins
  are guessed, members or not, shrunk towards zero as far as the spread within
  rows explains it. That is a function of the outputs alone, and the theorem
  leaves to the attacker which one. In simulations (weak, strong and sparse
  leaks, 8 to 32 models) it found as much as levels and likelihood ratios
  calibrated on models set aside, whose coins were known.

  The bound is about the average canary. It is a lower bound and may lie far
  below a guarantee that is tight.

  Args:
    scores: real[Q, M] or [Q, M, A], finite; high means member. Not calibrated
      by membership: `hinge_score`, not `lira`. The mean over views is taken.
    membership: bool[Q, M].
    delta: of the claim, between 0 and 1.
    target: the one model whose coins are guessed, 0 to M - 1, among reference
      models; None if they all are.
    confidence: that the bound is not above the true epsilon, 0.5 to 1.

  Returns:
    The bound. Its `premise` says what it assumes about how membership was
    drawn, or why there is none.

  Raises:
    ValueError: an array or number that is not as above.
  """
  scores, membership = _checked(scores, membership, target)
  validate.within(0, 1, "()", delta=delta)
  validate.within(0.5, 1, "()", confidence=confidence)
  design = coins.recognise(membership, target)
  evidence = _evidence(scores, design)
  bound = guessed_bound(
    evidence[design.tested],
    design.heads[design.tested],
    design.is_paired,
    delta,
    confidence,
  )
  epsilon, number, guesses, correct, largest = bound
  return EpsilonBound(
    epsilon=epsilon,
    neighbours=design.neighbours,
    delta=delta,
    confidence=confidence,
    coins=number,
    guesses=guesses,
    correct=correct,
    largest=largest,
    premise=design.premise,
  )


def check_claim(bound: EpsilonBound, claimed: float) -> bool:
  """Raises GuaranteeBroken if the audit refutes the claimed epsilon.

  Args:
    bound: what the audit has shown.
    claimed: epsilon in nats at the bound's delta, for `bound.neighbours`.

  Returns:
    Whether the claim was put to the test. False where it is not refutable at
    this size: it would have passed with every guess correct.
  """
  if bound.epsilon > claimed:
    raise GuaranteeBroken(
      f"epsilon is at least {rounded_down(bound.epsilon)}, above the claimed "
      f"{rounded_up(claimed)} ({bound.neighbours}, delta {bound.delta:g}, "
      f"confidence {bound.confidence:.0%}: {bound.correct} of "
      f"{bound.guesses} guesses are correct)"
    )
  return claimed < bound.largest


def _evidence(scores: np.ndarray, design: Coins) -> np.ndarray:
  """f64[P, M], high where the coin fell heads, from scores f64[Q, M]."""
  if design.is_paired:
    values = scores[::2] - scores[1::2]
  else:
    values = scores - _middles(scores, design.tested | design.counted)
  return values - _levels(values, design.counted)


def _middles(scores: np.ndarray, used: np.ndarray) -> np.ndarray:
  """f64[M], the middle of each model's scores: some are surer than others.

  Halfway between the quartiles: where members stand apart from non-members,
  that is between them, and the median anywhere.

  Args:
    scores: f64[Q, M].
    used: bool[Q, M], which of them.
  """
  middles = np.zeros(scores.shape[1])
  for model, (column, chosen) in enumerate(zip(scores.T, used.T, strict=True)):
    if chosen.any():
      middles[model] = np.quantile(column[chosen], [0.25, 0.75]).mean()
  return middles


def _levels(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
  """f64[P, 1], the mean of each row, shrunk as rows differ by chance.

  The best linear predictor of a random effect of mean zero, with the variances
  within rows and between them by their moments.

  Args:
    values: f64[P, M].
    counted: bool[P, M], which values count.
  """
  size = counted.sum(axis=1, keepdims=True)
  mean = (values * counted).sum(axis=1, keepdims=True) / np.maximum(size, 1)
  freedom = np.maximum(size - 1, 0).sum()
  if not freedom:
    return np.zeros_like(mean)
  within = (((values - mean) * counted) ** 2).sum() / freedom
  rows = size > 0
  chance = within / size[rows]
  between = max(0.0, float(np.mean(mean[rows] ** 2 - chance)))
  weight = np.zeros_like(mean)
  total = between + chance
  weight[rows] = between / np.where(total > 0, total, 1)
  return mean * weight


def _checked(
  scores: np.ndarray, membership: np.ndarray, target: int | None
) -> tuple[np.ndarray, np.ndarray]:
  """f64[Q, M] and bool[Q, M], or ValueError."""
  scores = np.asarray(scores, np.float64)
  membership = np.asarray(membership, bool)
  if scores.ndim == 3:
    scores = scores.mean(axis=2)
  if scores.ndim != 2 or scores.shape != membership.shape or not scores.size:
    raise ValueError(
      f"scores {scores.shape} and membership {membership.shape}: [Q, M, A] or "
      "[Q, M], and [Q, M] needed, not empty"
    )
  if not np.isfinite(scores).all():
    raise ValueError("scores hold a value that is not finite")
  if target is not None and not 0 <= target < scores.shape[1]:
    raise ValueError(f"target={target}: must be in 0..{scores.shape[1] - 1}")
  return scores, membership
