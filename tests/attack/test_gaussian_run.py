"""The bound of gradient canaries: exact numbers, coverage, known bugs."""

import math

import numpy as np
import pytest
from scipy import integrate, optimize, stats
from variants import others_slow

from syndata_jax.attack import (
  GradientCanaries,
  GuaranteeBroken,
  check_white_box_claim,
  gaussian_bound,
  white_box_bound,
)
from syndata_jax.attack.gaussian_run import least_noncentrality
from syndata_jax.privacy import epsilon

DELTA = 1e-5


def simulated(rng, canaries, models, steps, rate, noise):
  """Scores of the Poisson-subsampled Gaussian, in clip norms."""
  included = rng.random((canaries, models)) < 0.5
  scores = noise * math.sqrt(steps) * rng.normal(size=included.shape)
  scores += included * rng.binomial(steps, rate, included.shape)
  return GradientCanaries(scores, included)


def hockey_stick(eps, shift, present, absent):
  """Of N(shift, present^2) over N(0, absent^2), on a grid."""
  first = lambda x: stats.norm.pdf(x, shift, present)
  second = lambda x: stats.norm.pdf(x, 0, absent)
  x = np.linspace(-15 * absent, shift + 15 * present, 200_001)
  excess = np.maximum(first(x) - math.exp(eps) * second(x), 0)
  return integrate.simpson(excess, x=x)


def exact_epsilon(shift, present, absent):
  gap = lambda eps: hockey_stick(eps, shift, present, absent) - DELTA
  return optimize.brentq(gap, 0, 100)


@pytest.mark.parametrize("shift", [0.3, 1.0, 2.5])
def test_many_scores_reach_the_epsilon_of_their_gaussians(shift):
  """Scores at equally likely places: no luck, and next to no width."""
  places = stats.norm.ppf((np.arange(50_000) + 0.5) / 50_000)
  scores = np.concatenate([places, places + shift])[:, None]
  included = (np.arange(100_000) >= 50_000)[:, None]
  bound = gaussian_bound(GradientCanaries(scores, included), DELTA)
  truth = exact_epsilon(shift, 1.0, 1.0)
  assert 0.93 * truth < bound < truth


@pytest.mark.parametrize("shift", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("present", [1.05, 1.5])
def test_one_variance_errs_on_the_safe_side(shift, present):
  pooled = math.sqrt((1 + present**2) / 2)
  assert exact_epsilon(shift, pooled, pooled) < exact_epsilon(
    shift, present, 1.0
  )


@pytest.mark.parametrize(
  ("statistic", "degrees"), [(0.5, 3), (2.0, 5), (10.0, 50), (25.0, 998)]
)
def test_the_limit_is_that_of_the_noncentral_t(statistic, degrees):
  least = least_noncentrality(statistic, degrees, 0.05)
  chance = stats.nct.sf(statistic, degrees, least)
  assert chance == pytest.approx(0.05, abs=2e-4)


def test_models_have_offsets_of_their_own():
  rng = np.random.default_rng(0)
  scores, included = simulated(rng, 300, 4, 100, 0.5, 3.0)
  moved = GradientCanaries(scores + np.array([0, 50, -70, 300]), included)
  plain = gaussian_bound(GradientCanaries(scores, included), DELTA)
  assert gaussian_bound(moved, DELTA) == pytest.approx(plain, rel=1e-9)


@pytest.mark.parametrize("steps", others_slow([1, 30, 5, 300], 2))
@pytest.mark.parametrize("rate", [0.02, 0.2, 0.7, 0.95])
@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
def test_the_gaussians_claim_no_more_than_the_mechanism(steps, rate, noise):
  """Few steps are not Gaussian, but their epsilon is larger, not smaller."""
  variance = steps * (noise**2 + rate * (1 - rate) / 2)
  distance = steps * rate / math.sqrt(variance)
  claimed = epsilon(rate, noise, steps, DELTA)
  # The closed form of Balle and Wang (2018), Theorem 8.
  shown = stats.norm.cdf(distance / 2 - claimed / distance) - math.exp(
    claimed + stats.norm.logcdf(-distance / 2 - claimed / distance)
  )
  assert shown <= DELTA


# Canaries, models, steps, rate, noise: DP-SGD of the digits config, then
# without sampling, in several models, and where sums are not Gaussian.
SETTINGS = [
  (1000, 1, 300, 0.2069, 2.305),
  (500, 1, 1, 1.0, 1.0),
  (100, 4, 100, 1.0, 10.0),
  (60, 1, 5, 0.9, 1.0),
  (100, 1, 1, 0.1, 0.3),
  (200, 1, 2000, 0.01, 1.0),
]


def exceeding(setting, audits, bound):
  rng = np.random.default_rng(1)
  truth = epsilon(*np.array(setting)[[3, 4]], setting[2], DELTA)
  return sum(bound(simulated(rng, *setting)) > truth for _ in range(audits))


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_coverage(setting):
  """A confidence of 80%, so that 150 audits show a bound that is too large."""
  most = stats.binom.ppf(0.999, 150, 0.2)
  found = exceeding(setting, 150, lambda c: gaussian_bound(c, DELTA, 0.8))
  assert found <= most
  if setting[3] == 1.0:  # exact, so it is not idle either
    assert found >= stats.binom.ppf(0.001, 150, 0.2)


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_coverage_of_the_whole_bound(setting):
  """At most 5% of 1,000 audits of a mechanism that is exactly at epsilon."""
  bound = lambda canaries: white_box_bound(canaries, DELTA).epsilon
  assert exceeding(setting, 1000, bound) <= 50


def test_no_leakage_shows_nothing():
  rng = np.random.default_rng(2)
  positive = 0
  for _ in range(40):
    included = rng.random((200, 1)) < 0.5
    scores = rng.normal(size=(200, 1))
    bound = white_box_bound(GradientCanaries(scores, included), DELTA)
    positive += bound.epsilon > 0
  assert positive <= stats.binom.ppf(0.999, 40, 0.05)


@pytest.mark.parametrize("claim", [2.5, 8.0, 13.7])
@pytest.mark.parametrize(
  "factor, holds", [(1.0, True), (0.5, False), (0, False)]
)
def test_too_little_noise_breaks_claims_of_any_size(claim, factor, holds):
  """Guesses of 1,000 coins cannot refute 8 or 13.7, whatever is broken."""
  rng = np.random.default_rng(3)
  steps, rate = 300, 0.2069
  low, high = 0.1, 100.0
  for _ in range(12):
    middle = math.sqrt(low * high)
    quiet = epsilon(rate, middle, steps, DELTA) > claim
    low, high = (middle, high) if quiet else (low, middle)
  scores = simulated(rng, 1000, 1, steps, rate, factor * high)
  bound = white_box_bound(scores, DELTA)
  if holds:
    check_white_box_claim(bound, claim)
    assert bound.epsilon > 0.5 * claim
  else:
    assert bound.guessed < 8
    with pytest.raises(GuaranteeBroken, match="white-box gradient canaries"):
      check_white_box_claim(bound, claim)


def test_what_it_says_of_itself():
  rng = np.random.default_rng(4)
  bound = white_box_bound(simulated(rng, 200, 2, 50, 0.5, 1.0), DELTA, 0.9)
  assert (bound.coins, bound.confidence, bound.delta) == (400, 0.9, DELTA)
  assert bound.epsilon == max(bound.gaussian, bound.guessed)
  assert 0 < bound.epsilon < 1e6 < bound.largest < math.inf


@pytest.mark.parametrize("included", [[1, 1, 1, 1], [0, 0, 0, 0], [1, 0]])
def test_coins_that_show_nothing(included):
  included = np.array(included, bool)[:, None]
  scores = np.where(included, 9.0, 0.0)
  bound = white_box_bound(GradientCanaries(scores, included), DELTA)
  assert (bound.epsilon, bound.largest) == (0, 0)
  assert bound.premise.startswith("no bound")


def test_scores_without_any_noise_are_finite():
  included = np.arange(40)[:, None] % 2 == 0
  scores = np.where(included, 7.0, 0.0).astype(np.float32)
  bound = white_box_bound(GradientCanaries(scores, included), DELTA)
  assert 1e6 < bound.epsilon < math.inf


@pytest.mark.parametrize(
  "scores, included",
  [
    (np.zeros(4), np.zeros(4, bool)),
    (np.zeros((4, 2)), np.zeros((4, 1), bool)),
    (np.full((4, 1), np.nan), np.zeros((4, 1), bool)),
    (np.zeros((0, 1)), np.zeros((0, 1), bool)),
  ],
)
def test_what_is_refused(scores, included):
  with pytest.raises(ValueError, match="scores"):
    gaussian_bound(GradientCanaries(scores, included), DELTA)
