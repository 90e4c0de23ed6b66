"""The discrete Gaussian: its draws, and what it costs."""

import math

import dp_accounting
import jax
import mpmath
import numpy as np
import pytest
from scipy import stats

from syndata_jax import privacy
from syndata_jax.errors import UserError
from syndata_jax.privacy import composed_epsilon
from syndata_jax.privacy.discrete_event import DiscreteGaussianDpEvent
from syndata_jax.privacy.discrete_gaussian import draw, noise_table


def _masses(sigma, reach):
  """exp(-x^2 / 2 sigma^2), normalised, on [-reach, reach]."""
  weights = [
    mpmath.exp(-(x**2) / (2 * mpmath.mpf(sigma) ** 2))
    for x in range(-reach, reach + 1)
  ]
  total = mpmath.fsum(weights)
  return [weight / total for weight in weights]


@pytest.mark.parametrize("sigma", [0.4, 3.7])
def test_the_table_is_the_distribution_function(sigma):
  table = noise_table(sigma)
  words = np.asarray(table.thresholds).astype(object)
  passed = words @ np.array([2**96, 2**64, 2**32, 1], object)
  with mpmath.workdps(60):
    masses = _masses(sigma, -int(table.lowest))
    below = mpmath.mpf(0)
    for mass, threshold in zip(masses[:-1], passed, strict=False):
      below += mass
      assert abs(below - mpmath.mpf(int(threshold)) / 2**128) < 2**-126
  assert list(passed) == sorted(passed)


@pytest.mark.parametrize("sigma", [0.4, 3.7])
def test_draws_have_the_law(sigma):
  drawn = np.asarray(draw(jax.random.key(0), noise_table(sigma), (50, 400)))
  reach = math.ceil(3 * sigma)
  masses = np.array(_masses(sigma, 60), float)[60 - reach : 61 + reach]
  seen = np.bincount((drawn + reach)[abs(drawn) <= reach])
  assert seen.sum() > 0.98 * drawn.size
  expected = masses / masses.sum() * seen.sum()
  assert stats.chisquare(seen, expected).pvalue > 1e-3


def test_no_noise_is_none():
  assert not np.asarray(draw(jax.random.key(0), noise_table(0.0), (9,))).any()
  with pytest.raises(UserError, match="noise_multiplier=-1"):
    noise_table(-1.0)


@pytest.mark.parametrize("neighbours", ["add_or_remove_one", "replace_one"])
@pytest.mark.parametrize("coordinates", [1, 4])
def test_it_costs_what_the_continuous_one_does(neighbours, coordinates):
  """Above sigma 2 the two cannot be told apart; the sensitivity is a norm."""
  sigma, releases, delta = 9.0, 10, 1e-6
  event = DiscreteGaussianDpEvent(sigma, coordinates)
  ours = composed_epsilon({event: releases}, delta, neighbours)
  twice = 2 if neighbours == "replace_one" else 1
  mu = math.sqrt(twice * coordinates * releases) / sigma
  assert ours == pytest.approx(privacy.gaussian_epsilon(mu, delta), rel=2e-3)


def test_one_release_by_its_sum():
  """delta(epsilon) is a sum over whole numbers."""
  sigma, delta = 1.5, 1e-4
  ours = composed_epsilon({DiscreteGaussianDpEvent(sigma): 1}, delta)
  masses = np.array(_masses(sigma, 60), float)
  exact = lambda e: np.maximum(masses[:-1] - np.exp(e) * masses[1:], 0).sum()
  assert exact(ours) <= delta * (1 + 1e-9)
  assert exact(ours - 0.01) > delta


def test_among_others():
  gaussian = dp_accounting.GaussianDpEvent(12.0)
  mixed = {DiscreteGaussianDpEvent(12.0): 5, gaussian: 5}
  alone = composed_epsilon({gaussian: 10}, 1e-5)
  assert composed_epsilon(mixed, 1e-5) == pytest.approx(alone, rel=3e-3)
  assert composed_epsilon({DiscreteGaussianDpEvent(0.0): 1}, 1e-5) == math.inf
