"""One-run bounds against the theorem, and on mechanisms with known epsilon."""

import math

import numpy as np
import pytest
from scipy import stats

from syndata_jax import privacy
from syndata_jax.attack import one_run, one_run_epsilon

_DELTA = 1e-6


def _randomised_response(epsilon, shape, generator):
  """Coins and scores of the mechanism whose guarantee is exactly epsilon."""
  coins = generator.random(shape) < 0.5
  honest = generator.random(shape) < 1 / (1 + math.exp(-epsilon))
  size = generator.random(shape)  # how sure it looks means nothing
  return coins, np.where(coins == honest, size, -size)


def _p_value(coins, guesses, correct, epsilon, delta):
  """Theorem 5.2 of Steinke et al., as a loop over exact probabilities."""
  tail = lambda v: stats.binom.sf(v - 1, guesses, 1 / (1 + math.exp(-epsilon)))
  alpha = max(
    (tail(correct - i) - tail(correct)) / i for i in range(1, correct + 1)
  )
  return tail(correct) + 2 * coins * delta * alpha


@pytest.mark.parametrize("delta", [1e-9, 1e-6, 1e-4])
def test_the_bound_is_where_the_p_value_meets_the_significance(delta):
  coins, scores = _randomised_response(2.0, 400, np.random.default_rng(0))
  bound = one_run_epsilon(scores, coins, delta)
  assert bound.coins == 400
  # 400, 200, 100, 50, 25, 12 guesses by two attacks.
  share = 0.05 / 12
  p_value = lambda epsilon: _p_value(
    # The auditor is given one more coin, see the code.
    401,
    bound.guesses,
    bound.correct,
    epsilon,
    delta,
  )
  assert p_value(bound.epsilon) == pytest.approx(share, rel=1e-3)


def test_no_leakage_shows_nothing():
  generator = np.random.default_rng(1)
  bounds = [
    one_run_epsilon(generator.normal(size=64), generator.random(64) < 0.5, 1e-5)
    for _ in range(300)
  ]
  assert np.mean([bound.epsilon > 0 for bound in bounds]) <= 0.05


def test_bound_holds_where_the_guarantee_is_tight():
  generator = np.random.default_rng(2)
  epsilons = []
  for _ in range(80):
    coins, scores = _randomised_response(1.0, 300, generator)
    epsilons.append(one_run_epsilon(scores, coins, _DELTA).epsilon)
  assert np.mean(np.array(epsilons) > 1.0) <= 0.05
  # All guesses carry the same evidence, so most of epsilon is shown.
  assert np.mean(epsilons) > 0.6


def test_a_lower_confidence_would_be_exceeded():
  """The test above can fail: without the correction the bound is too large."""
  generator = np.random.default_rng(2)
  above = 0
  for _ in range(40):
    coins, scores = _randomised_response(1.0, 300, generator)
    above += one_run_epsilon(scores, coins, _DELTA, 0.501).epsilon > 1.0
  assert above > 2


def test_gaussian_mechanism_from_below():
  """One coordinate per canary, as orthogonal gradients would give."""
  generator = np.random.default_rng(3)
  noise = privacy.gaussian_noise_multiplier(4.0, 1, 1e-5)
  epsilons = []
  for _ in range(15):
    coins = generator.random(1_000) < 0.5
    scores = coins + noise * generator.normal(size=1_000)
    epsilons.append(one_run_epsilon(scores, coins, 1e-5).epsilon)
  assert max(epsilons) < 4.0
  assert np.mean(epsilons) > 1.0


def test_low_scores_count_as_well():
  """Only non-members are recognised: the highest scores alone show little."""
  generator = np.random.default_rng(5)
  coins = generator.random(1_000) < 0.5
  scores = generator.normal(size=1_000)
  scores[~coins & (generator.random(1_000) < 0.4)] -= 9
  assert one_run_epsilon(scores, coins, _DELTA).epsilon > 2


def test_perfect_and_inverted_attacks():
  coins = np.random.default_rng(6).random(500) < 0.5
  perfect = one_run_epsilon(coins.astype(float), coins, _DELTA)
  assert perfect.correct == perfect.guesses
  assert perfect.epsilon > 3.5
  assert one_run_epsilon(-coins.astype(float), coins, _DELTA).epsilon == 0


def test_ties_are_not_broken_by_the_order_of_the_rows():
  members_first = np.arange(400) < 200
  assert one_run_epsilon(np.zeros(400), members_first, _DELTA).epsilon == 0


def test_delta_weakens_the_bound():
  coins, scores = _randomised_response(3.0, 500, np.random.default_rng(7))
  bounds = [
    one_run_epsilon(scores, coins, delta).epsilon
    for delta in (1e-9, 1e-4, 1e-2)
  ]
  assert bounds[0] > bounds[1] > bounds[2]


@pytest.mark.parametrize(
  "scores, membership, delta, confidence, message",
  [
    ([1.0, 2.0], [True], 0.1, 0.9, "the same 1-dimensional shape needed"),
    ([], [], 0.1, 0.9, "not empty"),
    ([1.0, math.nan], [True, False], 0.1, 0.9, "not finite"),
    ([1.0, 2.0], [True, False], 0.0, 0.9, r"delta=0.0: must be in \(0, 1\)"),
    (
      [1.0, 2.0],
      [True, False],
      0.1,
      1.0,
      r"confidence=1.0: must be in \(0.5, 1\)",
    ),
  ],
)
def test_refuses(scores, membership, delta, confidence, message):
  with pytest.raises(ValueError, match=message):
    one_run.one_run_epsilon(
      np.array(scores), np.array(membership), delta, confidence
    )
