"""Guessed coins against the theorem, and on mechanisms with known epsilon."""

import math

import numpy as np
import pytest
from jax_privacy import auditing
from scipy import stats

from syndata_jax.attack.one_run import guessed_bound, p_value, refuted

_DELTA = 1e-6


def _bound(evidence, heads, delta=_DELTA, confidence=0.95, is_signed=False):
  """Epsilon, coins, guesses, correct guesses, and the largest epsilon."""
  return guessed_bound(evidence, heads, is_signed, delta, confidence)


def _randomised_response(epsilon, shape, generator):
  """Coins and scores of the mechanism whose guarantee is exactly epsilon."""
  coins = generator.random(shape) < 0.5
  honest = generator.random(shape) < 1 / (1 + math.exp(-epsilon))
  size = generator.random(shape)  # how sure it looks means nothing
  return coins, np.where(coins == honest, size, -size)


def _loop(coins, guesses, correct, epsilon, delta):
  """Theorem 5.2 of Steinke et al., as a loop over exact probabilities."""
  tail = lambda v: stats.binom.sf(v - 1, guesses, 1 / (1 + math.exp(-epsilon)))
  alpha = max(
    (tail(correct - i) - tail(correct)) / i for i in range(1, correct + 1)
  )
  return min(1.0, tail(correct) + 2 * coins * delta * alpha)


def test_the_p_value_is_that_of_the_theorem():
  generator = np.random.default_rng(0)
  for _ in range(200):
    guesses = int(generator.integers(1, 300))
    coins = guesses + int(generator.integers(0, 300))
    correct = int(generator.integers(1, guesses + 1))
    epsilon, delta = generator.uniform(0, 5), 10 ** generator.uniform(-9, -2)
    expected = _loop(coins, guesses, correct, epsilon, delta)
    value = p_value(coins, guesses, correct, epsilon, delta)
    assert value == pytest.approx(expected, rel=1e-7, abs=1e-13)
  assert p_value(10, 5, 0, 1.0, 1e-5) == 1.0


@pytest.mark.parametrize("delta", [1e-9, 1e-5, 1e-3])
@pytest.mark.parametrize(
  ("right", "wrong", "unsure"), [(90, 10, 100), (400, 0, 0), (55, 45, 7)]
)
def test_refuted_as_by_jax_privacy(right, wrong, unsure, delta):
  """Its auditor takes the scores of both kinds and the lowest that counts."""
  members = np.append(np.ones(right), np.zeros(unsure))
  others = np.append(np.ones(wrong), np.zeros(1))
  auditor = auditing.CanaryScoreAuditor(members, others)
  expected = auditor.epsilon_one_run(
    0.01, delta, threshold_strategy=auditing.Explicit(1.0)
  )
  coins, guesses = right + wrong + unsure + 1, right + wrong
  bound = refuted(coins, guesses, right, 0.01, delta)
  assert bound == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("delta", [1e-9, 1e-6, 1e-4])
@pytest.mark.parametrize("is_signed", [True, False])
def test_the_bound_is_where_the_p_value_meets_the_significance(
  delta, is_signed
):
  coins, scores = _randomised_response(2.0, 400, np.random.default_rng(0))
  found, number, guesses, correct, _ = _bound(
    scores, coins, delta, is_signed=is_signed
  )
  assert number == 400
  # A half for all of them, or all but 2 sqrt(400); the rest for four halvings
  # of one attack or of two.
  share = {400: 1 / 2, 360: 1 / 2}.get(guesses, 1 / (8 if is_signed else 16))
  value = _loop(number, guesses, correct, found, delta)
  assert value == pytest.approx(0.05 * share, rel=1e-3)


def test_no_leakage_shows_nothing():
  generator = np.random.default_rng(1)
  bounds = [
    _bound(generator.normal(size=64), generator.random(64) < 0.5)[0]
    for _ in range(300)
  ]
  assert np.mean(np.array(bounds) > 0) <= 0.05


def test_bound_holds_where_the_guarantee_is_tight():
  generator = np.random.default_rng(2)
  epsilons = []
  for _ in range(80):
    coins, scores = _randomised_response(1.0, 300, generator)
    epsilons.append(_bound(scores, coins)[0])
  assert np.mean(np.array(epsilons) > 1.0) <= 0.05
  # All guesses carry the same evidence, so most of epsilon is shown.
  assert np.mean(epsilons) > 0.6


def test_a_lower_confidence_would_be_exceeded():
  """The test above can fail: without the correction the bound is too large."""
  generator = np.random.default_rng(2)
  above = 0
  for _ in range(40):
    coins, scores = _randomised_response(1.0, 300, generator)
    above += _bound(scores, coins, confidence=0.501)[0] > 1.0
  assert above > 2


@pytest.mark.parametrize("share", [0.55, 0.6, 0.7, 0.9])
def test_unfair_coins_alone_show_nothing(share):
  """Guessing "member" is right more often than not, which is no leakage."""
  generator = np.random.default_rng(4)
  above = 0
  for _ in range(200):
    coins = generator.random(500) < share
    # Scores with a long tail of high ones, then of low ones.
    scores = generator.exponential(size=500) * generator.choice([-1, 1])
    above += _bound(scores, coins)[0] > 0
  assert above <= 10


def test_low_scores_count_as_well():
  """Only non-members are recognised: the highest scores alone show little."""
  generator = np.random.default_rng(5)
  coins = generator.random(1_000) < 0.5
  scores = generator.normal(size=1_000)
  scores[~coins & (generator.random(1_000) < 0.4)] -= 9
  low = _bound(scores, coins)[0]
  high = _bound(-scores, ~coins)[0]
  assert 0.7 < low < high
  assert high > 2


@pytest.mark.parametrize("is_signed", [True, False])
def test_perfect_and_inverted_attacks(is_signed):
  coins = np.random.default_rng(6).random(500) < 0.5
  evidence = np.where(coins, 1.0, -1.0)
  found, number, guesses, correct, largest = _bound(
    evidence, coins, is_signed=is_signed
  )
  assert correct == guesses
  assert number == 500
  assert found == pytest.approx(largest) and largest > 4.5
  assert _bound(-evidence, coins, is_signed=is_signed)[0] == 0


def test_nothing_exceeds_the_largest_bound():
  generator = np.random.default_rng(8)
  for _ in range(50):
    share = generator.uniform(0.3, 0.7)
    coins = generator.random(int(generator.integers(0, 200))) < share
    noise = generator.normal(size=len(coins))
    scores = generator.choice([0.0, 3.0, 9.0]) * coins + noise
    found, *_, largest = _bound(scores, coins)
    assert 0 <= found <= largest + 1e-9


def test_the_number_of_coins_is_that_which_reaches_furthest():
  generator = np.random.default_rng(9)
  coins = generator.random(6_400) < 0.5
  evidence = np.where(coins, 1.0, -1.0)
  for delta in (1e-9, 1e-4, 1e-3):
    found, number, *_ = _bound(evidence, coins, delta, is_signed=True)
    reach = {
      6_400 >> half: max(
        refuted(6_400 >> half, size, size, 0.05 * share, delta)
        for size, share in [(6_400 >> half, 0.5)]
        + [((6_400 >> half) >> step, 0.125) for step in (1, 2, 3, 4)]
      )
      for half in range(8)
    }
    assert number == max(reach, key=reach.get)
    assert found == pytest.approx(reach[number], abs=1e-4)
  assert number < 6_400


def test_ties_are_not_broken_by_the_order_of_the_rows():
  members_first = np.arange(400) < 200
  assert _bound(np.zeros(400), members_first)[0] == 0


def test_too_few_coins_show_nothing():
  coins = np.array([True, False] * 3)
  assert _bound(coins * 2.0 - 1, coins, is_signed=True) == (0.0, 6, 0, 0, 0.0)
  assert _bound(np.zeros(0), np.zeros(0, bool)) == (0.0, 0, 0, 0, 0.0)


def test_delta_weakens_the_bound():
  coins, scores = _randomised_response(3.0, 500, np.random.default_rng(7))
  bounds = [_bound(scores, coins, delta)[0] for delta in (1e-9, 1e-4, 1e-2)]
  assert bounds[0] > bounds[1] > bounds[2]
