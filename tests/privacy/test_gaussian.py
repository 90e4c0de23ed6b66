"""Closed forms of the Gaussian mechanism."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syndata_jax import privacy
from syndata_jax.errors import UserError


def _exact(epsilon, mu):
  """Balle and Wang's formula with 60 digits."""
  with mpmath.workdps(60):
    e, m = mpmath.mpf(epsilon), mpmath.mpf(mu)
    first = mpmath.ncdf(m / 2 - e / m)
    return float(first - mpmath.exp(e) * mpmath.ncdf(-m / 2 - e / m))


@pytest.mark.parametrize(
  "epsilon, mu",
  [
    (0, 1),
    (0, 1e-3),
    (1, 0.3),
    (1, 3),
    (8, 2),
    (100, 10),
    (5e4, 320),
    (3, 0.2),
  ],
)
def test_delta_equals_high_precision(epsilon, mu):
  expected = _exact(epsilon, mu)
  ours = privacy.gaussian_delta(epsilon, mu)
  assert ours == pytest.approx(expected, rel=1e-9)


def test_delta_of_arrays_and_limits():
  np.testing.assert_array_equal(
    privacy.gaussian_delta(1.0, np.array([0.0, 1e-9, 1e9])), [0, 0, 1]
  )


@pytest.mark.parametrize(
  "epsilon, mu",
  [
    (0.5, 0.1422106),
    (1, 0.268051),
    (2, 0.501552),
    (4, 0.924931),
    (10, 2.000446),
  ],
)
def test_noise_of_one_release(epsilon, mu):
  noise = privacy.gaussian_noise_multiplier(epsilon, 1, 1e-5)
  assert 1 / noise == pytest.approx(mu, rel=3e-6)


@pytest.mark.parametrize(
  "epsilon, releases, delta, noise",
  [
    (1.0, 10, 1e-5, 11.7973),
    (1.0, 20, 1e-5, 16.6839),
    # Settings of published Private Evolution runs.
    (1.0, 4, 1.6658e-6, 8.238),
    (10.0, 4, 1.6658e-6, 1.064),
    (1.0, 7, 5.8002e-7, 11.470),
    (10.0, 6, 5.8002e-7, 1.348),
  ],
)
def test_noise_of_several_releases(epsilon, releases, delta, noise):
  ours = privacy.gaussian_noise_multiplier(epsilon, releases, delta)
  assert ours == pytest.approx(noise, rel=5e-4)


@pytest.mark.parametrize(
  "noise, releases, delta, epsilon",
  [
    # Published runs of Private Evolution: CIFAR-10 iteration by iteration, two
    # other image sets, and texts at about epsilon 1, 2 and 4.
    (5 * 2**0.5, 1, 1e-5, "0.497"),
    (5 * 2**0.5, 2, 1e-5, "0.726"),
    (5 * 2**0.5, 3, 1e-5, "0.906"),
    (5 * 2**0.5, 5, 1e-5, "1.199"),
    (5 * 2**0.5, 10, 1e-5, "1.760"),
    (5 * 2**0.5, 20, 1e-5, "2.594"),
    (2 * 2**0.5, 5, 1e-5, "3.34"),
    (2 * 2**0.5, 29, 3e-6, "9.92"),
    (2, 17, 1e-3, "7.89"),
    (15.34, 10, 3.5617e-8, "1.004"),
    (8.03, 10, 3.5617e-8, "2.002"),
    (4.24, 10, 3.5617e-8, "4.005"),
    (11.60, 10, 1.3182e-5, "1.000"),
    (6.22, 10, 1.3182e-5, "1.997"),
    (3.38, 10, 1.3182e-5, "3.992"),
    (13.26, 10, 1.1824e-6, "0.999"),
    (7.01, 10, 1.1824e-6, "1.997"),
    (3.75, 10, 1.1824e-6, "3.999"),
    (11.3, 11, 3e-6, "1.19"),
    (2.31, 11, 3e-6, "7.08"),
  ],
)
def test_epsilon_of_published_runs(noise, releases, delta, epsilon):
  ours = privacy.gaussian_epsilon(math.sqrt(releases) / noise, delta)
  digits = len(epsilon.partition(".")[2])
  assert f"{ours:.{digits}f}" == epsilon


@settings(max_examples=100, deadline=None)
@given(st.floats(1e-3, 1e4), st.integers(1, 1_000), st.floats(1e-12, 0.5))
def test_noise_is_enough_and_no_more(epsilon, releases, delta):
  noise = privacy.gaussian_noise_multiplier(epsilon, releases, delta)
  mu = math.sqrt(releases) / noise
  # The quotient may round to the next number.
  assert privacy.gaussian_delta(epsilon, mu * (1 - 1e-12)) <= delta
  assert privacy.gaussian_delta(epsilon, mu * (1 + 1e-6)) > delta


@settings(max_examples=100, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(1e-12, 0.5))
def test_epsilon_is_enough_and_no_more(mu, delta):
  epsilon = privacy.gaussian_epsilon(mu, delta)
  assert privacy.gaussian_delta(epsilon, mu) <= delta
  if epsilon > 0:
    less = epsilon * (1 - 1e-6)
    assert privacy.gaussian_delta(less, mu) > delta


@pytest.mark.parametrize(
  "mu, epsilon", [(0.142211, 0.5), (0.268051, 1), (0.924931, 4), (2.000446, 10)]
)
def test_epsilon_of_one_release(mu, epsilon):
  assert privacy.gaussian_epsilon(mu, 1e-5) == pytest.approx(epsilon, rel=1e-5)


def test_epsilon_at_the_ends():
  assert privacy.gaussian_epsilon(0.0, 1e-5) == 0
  assert privacy.gaussian_epsilon(1e-6, 1e-5) == 0
  assert privacy.gaussian_epsilon(1e4, 1e-5) == pytest.approx(5e7, rel=1e-3)
  assert privacy.gaussian_epsilon(math.inf, 1e-5) == math.inf
  assert privacy.gaussian_epsilon(1e200, 1e-5) == math.inf


@pytest.mark.parametrize(
  "arguments, message",
  [
    ((0.0, 1, 1e-5), "epsilon=0.0: must be above 0"),
    ((1.0, 0, 1e-5), "releases=0: must be a whole number"),
    ((1.0, 1, 2.0), "delta=2.0: must be between 0 and 1"),
  ],
)
def test_refuses(arguments, message):
  with pytest.raises(UserError, match=message):
    privacy.gaussian_noise_multiplier(*arguments)
