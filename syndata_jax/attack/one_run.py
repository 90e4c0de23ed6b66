"""Lower bounds on epsilon from guessed coins: one training run is enough.

Steinke, Nasr and Jagielski, "Privacy Auditing with One (1) Training Run"
(2023): each canary is included by a fair coin of its own, the attacker guesses
some of the coins from the trained model and abstains from the rest. If training
is (epsilon, delta)-DP, the number of correct guesses is dominated by
independent coins of bias exp(epsilon) / (1 + exp(epsilon)), up to a term in
delta (Theorem 5.2), however much the canaries of one model depend on each
other. So too many correct guesses refute the claim.

How many coins to guess is not known in advance. All, a half and so on down to a
sixteenth are tried, each at its share of 1 - confidence (Bonferroni). One half
is for all of them, the attempt that reaches furthest; of several shares and
steps these found most in simulated leaks, weak, strong, and of few canaries.
"All" of single examples leaves some in the middle out, since n coins do not
fall heads in exactly n / 2 cases: two standard deviations, 2 sqrt(n) of them.

The term in delta grows with the number of coins, so more of them can show less.
They are halved as long as that raises what correct guesses alone could show;
which of them stay is drawn by lot.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
from scipy import optimize, special

from syndata_jax import keys

# Fewer guesses than this refute nothing, even when all of them are correct.
_MIN_GUESSES = 8
_HALVINGS = 4


class EpsilonBound(NamedTuple):
  """What an audit has shown about epsilon, and by which guesses."""

  epsilon: float  # lower bound in nats; 0 where nothing is shown
  neighbours: str  # the relation it holds for, see `privacy.epsilon`
  delta: float
  confidence: float  # probability that the bound is not too large
  coins: int  # that the guesses are about; 0 where there is no bound
  guesses: int  # those of the best attempt
  correct: int
  largest: float  # the bound if every guess were correct; 0 without a bound
  premise: str  # what the bound assumes, or why there is none


class _Attempt(NamedTuple):
  """Some guesses that are tried."""

  kind: str  # see `guessed_bound`
  guesses: int
  significance: float


def guessed_bound(
  evidence: np.ndarray,
  heads: np.ndarray,
  is_signed: bool,
  delta: float,
  confidence: float,
) -> tuple[float, int, int, int, float]:
  """The largest bound of several attempts, corrected for their number.

  Signed evidence is guessed by its sign, the largest first. Any other is
  guessed in two ways: heads for the highest and tails for as many of the
  lowest, or heads for the highest alone. The first expects as many correct
  guesses of evidence that tells nothing whatever the share of heads. From the
  bound of the second the log odds of that share are taken if they are positive,
  so coins that are a little unfair show nothing either.

  Args:
    evidence: f64[n], high where heads.
    heads: bool[n], of independent fair coins.
    is_signed: whether evidence of 0 is neutral.
    delta: of the claim.
    confidence: of the result.

  Returns:
    The bound in nats, the number of coins, of guesses, of correct guesses, and
    the bound if all of them were correct: see `EpsilonBound`.
  """
  allowed = 1 - confidence
  coins = _number_of_coins(len(heads), is_signed, delta, allowed)
  # Ties are in this order then: that of the rows may follow membership.
  drawn = keys.generator(0, "attack/ties").permutation(len(heads))[:coins]
  evidence, heads = evidence[drawn], heads[drawn]
  number = int(heads.sum())
  largest = _largest(coins, number, is_signed, delta, allowed)
  right = _right(evidence, heads, is_signed)
  best = 0.0, coins, 0, 0, largest
  for kind, guesses, significance in _attempts(coins, is_signed, allowed):
    prior = _log_odds(number, coins) if kind == "highest" else 0.0
    correct = int(right[kind][:guesses].sum())
    # Most attempts show less than another one, which a look tells.
    if p_value(coins, guesses, correct, best[0] + prior, delta) < significance:
      epsilon = refuted(coins, guesses, correct, significance, delta) - prior
      best = epsilon, coins, guesses, correct, largest
  return best


def refuted(
  coins: int, guesses: int, correct: int, significance: float, delta: float
) -> float:
  """The largest epsilon that so many correct guesses refute; 0 if none.

  Args:
    coins: as in `p_value`.
    guesses: as in `p_value`.
    correct: as in `p_value`.
    significance: of the test.
    delta: as in `p_value`.
  """

  def excess(epsilon: float) -> float:
    return p_value(coins, guesses, correct, epsilon, delta) - significance

  if excess(0.0) >= 0:
    return 0.0
  low, high = 0.0, 1.0
  while excess(high) < 0:
    low, high = high, 2 * high
  return float(optimize.brentq(excess, low, high, xtol=1e-6))


def p_value(
  coins: int, guesses: int, correct: int, epsilon: float, delta: float
) -> float:
  """Theorem 5.2: how probable it is at most to be right so often.

  Args:
    coins: m, independent and fair.
    guesses: r, at most m; the rest is abstained from.
    correct: v, at least so many of them are right.
    epsilon: that is claimed, in nats.
    delta: of the same claim.
  """
  if not correct:
    return 1.0
  log_right, log_wrong = -np.logaddexp(0, [-epsilon, epsilon])
  tail = special.betainc(correct, guesses - correct + 1, math.exp(log_right))
  # P(v - i <= X < v) for i = 1, ..., v.
  count = np.arange(correct)[::-1]
  log_mass = count * log_right + (guesses - count) * log_wrong
  mass = np.exp(log_mass + _log_binomials(guesses)[count])
  alpha = (np.cumsum(mass) / np.arange(1, correct + 1)).max()
  return min(1.0, float(tail + 2 * coins * delta * alpha))


@functools.lru_cache(maxsize=64)
def _log_binomials(size: int) -> np.ndarray:
  """Logarithms of size over k for k = 0, ..., size."""
  k = np.arange(size + 1)
  factorials = special.gammaln(k + 1)
  return factorials[-1] - factorials - factorials[::-1]


def _attempts(coins: int, is_signed: bool, allowed: float) -> list[_Attempt]:
  """All that are tried with so many coins, at 1 - confidence together."""
  kinds = ("sign",) if is_signed else ("both_ends", "highest")
  undecided = 0 if is_signed else math.ceil(2 * math.sqrt(coins))
  attempts = [_Attempt(kinds[0], coins - undecided, allowed / 2)]
  significance = allowed / (2 * _HALVINGS * len(kinds))
  for halving in range(1, _HALVINGS + 1):
    for kind in kinds:
      attempts.append(_Attempt(kind, coins >> halving, significance))
  return [each for each in attempts if each.guesses >= _MIN_GUESSES]


def _log_odds(heads: int, coins: int) -> float:
  """What guessing heads always seems to show, in nats; at least 0."""
  return math.log(max(1.0, heads / max(1, coins - heads)))


def _right(
  evidence: np.ndarray, heads: np.ndarray, is_signed: bool
) -> dict[str, np.ndarray]:
  """For each kind of guess whether it is right, bool[n], the surest first.

  Args:
    evidence: as in `guessed_bound`.
    heads: as in `guessed_bound`.
    is_signed: as in `guessed_bound`.
  """
  if is_signed:
    surest = np.argsort(-np.abs(evidence), kind="stable")
    return {"sign": ((evidence > 0) == heads)[surest]}
  highest = heads[np.argsort(-evidence, kind="stable")]
  both_ends = np.empty_like(heads)
  # The highest, the lowest, the second highest, and so on.
  both_ends[::2] = highest[: (len(heads) + 1) // 2]
  both_ends[1::2] = ~highest[::-1][: len(heads) // 2]
  return {"both_ends": both_ends, "highest": highest}


def _number_of_coins(
  available: int, is_signed: bool, delta: float, allowed: float
) -> int:
  """How many of the coins to use: all, a half, a quarter, ...

  Args:
    available: number of coins.
    is_signed: as in `guessed_bound`.
    delta: of the claim.
    allowed: 1 - confidence.
  """

  def reach(coins: int) -> float:
    return _largest(coins, coins // 2, is_signed, delta, allowed)

  coins = available
  while reach(coins // 2) > reach(coins):
    coins //= 2
  return coins


@functools.lru_cache(maxsize=1024)
def _largest(
  coins: int, heads: int, is_signed: bool, delta: float, allowed: float
) -> float:
  """The bound if the guesses were as good as they can be.

  Args:
    coins: number of them.
    heads: how many of them; guesses of both ends that are more are wrong.
    is_signed: as in `guessed_bound`.
    delta: of the claim.
    allowed: 1 - confidence.
  """
  fell = np.arange(coins) < heads
  right = _right(np.where(fell, 1.0, -1.0), fell, is_signed)
  largest = 0.0
  for kind, guesses, significance in _attempts(coins, is_signed, allowed):
    prior = _log_odds(heads, coins) if kind == "highest" else 0.0
    correct = int(right[kind][:guesses].sum())
    epsilon = refuted(coins, guesses, correct, significance, delta)
    largest = max(largest, epsilon - prior)
  return largest
