"""Lower bounds on epsilon from guessed coins: one training run is enough.

Steinke, Nasr and Jagielski, "Privacy Auditing with One (1) Training Run"
(2023): each canary is included by a fair coin of its own, the attacker guesses
some of the coins from the trained model and abstains from the rest. If training
is (epsilon, delta)-DP, the number of correct guesses is dominated by
independent coins of bias exp(epsilon) / (1 + exp(epsilon)), up to a term in
delta (Theorem 5.2), however much the canaries of one model depend on each
other. So too many correct guesses refute the claim.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from syndata_jax import keys, validate

# Fewer guesses than this refute nothing, even when all of them are correct.
_MIN_GUESSES = 8


class EpsilonBound(NamedTuple):
  """What an audit has shown about epsilon, and by which guesses."""

  epsilon: float  # lower bound in nats; 0 where nothing is shown
  neighbours: str  # the relation it holds for, see `privacy.epsilon`
  delta: float
  confidence: float  # probability that the bound is not too large
  coins: int  # that decided who is a member
  guesses: int  # those of the best attack
  correct: int


def one_run_epsilon(
  scores: np.ndarray,
  membership: np.ndarray,
  delta: float,
  confidence: float = 0.95,
) -> EpsilonBound:
  """Bounds epsilon of one model from below.

  Guesses "member" for the highest scores, or that and "not a member" for the
  lowest, and abstains in between. How many to guess is not known in advance:
  all examples, a half, a quarter and so on are tried, and each of these
  attacks is tested at an equal share of 1 - confidence (Bonferroni).

  Assumes that every example was included by an independent fair coin, and that
  the scores come from the model without regard to the membership. A split in
  complementary pairs, or with a fixed number of members, is not that: see
  `epsilon_lower_bound` for the first.

  Args:
    scores: real[Q], finite; high means member.
    membership: bool[Q].
    delta: of the claim, between 0 and 1.
    confidence: between 0.5 and 1.

  Returns:
    The bound, for adding or removing one example.

  Raises:
    ValueError: an array or number that is not as above.
  """
  scores, membership = checked(scores, membership, 1, delta, confidence)
  return best_guesses(
    attacks(scores, membership), "add_or_remove_one", delta, confidence
  )


def attacks(
  scores: np.ndarray, membership: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
  """Two ways to guess the coins f64[n] -> bool[n]: highest only, both ends.

  Returns:
    For each, how sure it is of its guess, f64[n], and whether it is right,
    bool[n].
  """
  distance = scores - np.median(scores)
  both_ends = np.abs(distance), (distance > 0) == membership
  return [(scores, membership), both_ends]


def best_guesses(
  attacks: list[tuple[np.ndarray, np.ndarray]],
  neighbours: str,
  delta: float,
  confidence: float,
) -> EpsilonBound:
  """The largest bound of several attacks, corrected for their number.

  Args:
    attacks: of the same n coins; see `attacks`.
    neighbours: the relation between the two worlds of a coin.
    delta: of the claim.
    confidence: of the result.
  """
  coins = len(attacks[0][0])
  sizes = _sizes(coins)
  significance = (1 - confidence) / (len(sizes) * len(attacks))
  best = EpsilonBound(0.0, neighbours, delta, confidence, coins, 0, 0)
  for sure, right in attacks:
    right = right[_most_sure_first(sure)]
    for guesses, epsilon in _refuted(right, sizes, significance, delta):
      if epsilon > best.epsilon:
        correct = int(right[:guesses].sum())
        best = best._replace(epsilon=epsilon, guesses=guesses, correct=correct)
  return best


def checked(
  scores: np.ndarray,
  membership: np.ndarray,
  ndim: int,
  delta: float,
  confidence: float,
) -> tuple[np.ndarray, np.ndarray]:
  """f64 scores and bool membership of `ndim` axes, or ValueError.

  Args:
    scores: real, finite, not empty.
    membership: of the same shape.
    ndim: how many axes they must have.
    delta: between 0 and 1.
    confidence: between 0.5 and 1.
  """
  scores = np.asarray(scores, np.float64)
  membership = np.asarray(membership, bool)
  if scores.ndim != ndim or scores.shape != membership.shape or not scores.size:
    raise ValueError(
      f"scores {scores.shape} and membership {membership.shape}: the same "
      f"{ndim}-dimensional shape needed, not empty"
    )
  if not np.isfinite(scores).all():
    raise ValueError("scores hold a value that is not finite")
  validate.within(0, 1, "()", delta=delta)
  validate.within(0.5, 1, "()", confidence=confidence)
  return scores, membership


def _sizes(coins: int) -> list[int]:
  """All, a half, a quarter, ..."""
  sizes = [coins]
  while sizes[-1] // 2 >= _MIN_GUESSES:
    sizes.append(sizes[-1] // 2)
  return sizes


def _most_sure_first(sure: np.ndarray) -> np.ndarray:
  """i64[n], the guesses f64[n] in descending order."""
  # Ties in an order of their own: that of the rows may follow membership.
  shuffled = keys.generator(0, "attack/ties").permutation(len(sure))
  return shuffled[np.argsort(-sure[shuffled], kind="stable")]


def _refuted(
  right: np.ndarray, sizes: list[int], significance: float, delta: float
) -> Iterator[tuple[int, float]]:
  """Yields each number of guesses and the largest epsilon that it refutes.

  Args:
    right: bool[n], whether each guess is right, the surest first.
    sizes: numbers of guesses to try.
    significance: of each test.
    delta: of the claim.
  """
  from jax_privacy import auditing

  if not right.any():
    return
  rank = np.arange(len(right), 0, -1)
  # The auditor wants both kinds. A wrong coin that is never guessed can only
  # lower the bound.
  auditor = auditing.CanaryScoreAuditor(rank[right], np.append(rank[~right], 0))
  for guesses in sizes:
    threshold = auditing.Explicit(rank[guesses - 1])
    bound = auditor.epsilon_one_run(
      significance, delta, threshold_strategy=threshold
    )
    yield guesses, float(bound)
