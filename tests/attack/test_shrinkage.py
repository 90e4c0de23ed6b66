"""The prior of variances against simulation and SciPy."""

import numpy as np
import pytest
from scipy import optimize, stats

from syndata_jax.attack import shrinkage
from syndata_jax.attack.shrinkage import Prior


def _samples(rng, d0, s0, companions, count):
  """Scores left out, whose variances are drawn from the prior."""
  variance = s0 * d0 / rng.chisquare(d0, count) if np.isfinite(d0) else s0
  d = companions - 1
  squares = variance * rng.chisquare(1, count)
  spread = np.zeros(count)
  many = d > 0
  spread[many] = (variance * np.ones(count) * rng.chisquare(np.maximum(d, 1)))[
    many
  ] / d[many]
  return squares, spread, d.astype(float)


def _negative_likelihood(squares, variances, degrees, d0, s0):
  total = d0 + degrees
  scale = np.sqrt((d0 * s0 + degrees * variances) / total)
  return -stats.t.logpdf(np.sqrt(squares), total, 0, scale).sum()


@pytest.mark.parametrize("companions", [(1, 2), (3, 4), (15, 16)])
@pytest.mark.parametrize("d0, s0", [(3, 0.5), (6, 20.0), (24, 1e-6)])
def test_recovers_a_scaled_f(companions, d0, s0):
  rng = np.random.default_rng(int(d0))
  samples = _samples(rng, d0, s0, rng.choice(companions, 16_000), 16_000)
  prior = shrinkage.fit_prior(*samples)
  # The grid is a factor of 1.4 apart, and few companions tell little.
  slack = 1.5 if max(companions) < 10 and d0 < 10 else 2.1
  assert d0 / slack < prior.degrees < d0 * slack
  assert prior.variance == pytest.approx(s0, rel=0.3)


@pytest.mark.parametrize("companions", [1, 3, 15])
def test_one_variance_for_all_needs_no_degrees_of_its_own(companions):
  rng = np.random.default_rng(companions)
  samples = _samples(rng, np.inf, 2.0, np.full(16_000, companions), 16_000)
  prior = shrinkage.fit_prior(*samples)
  assert prior.degrees >= 64
  assert prior.variance == pytest.approx(2.0, rel=0.3)


def test_two_humps_are_no_difference_between_examples():
  """The spread of log s^2 is wide here; Smyth's moments say 5 degrees."""
  rng = np.random.default_rng(0)
  values = rng.choice([-2.0, 2.0], (3000, 4)) + rng.normal(0, 0.5, (3000, 4))
  rest = values[:, 1:]
  squares = (values[:, 0] - rest.mean(axis=1)) ** 2 / (1 + 1 / 3)
  variances = rest.var(axis=1, ddof=1)
  prior = shrinkage.fit_prior(squares, variances, np.full(3000, 2.0))
  assert prior.degrees >= 64
  assert prior.variance == pytest.approx(4.25, rel=0.3)


@pytest.mark.parametrize("seed", range(4))
def test_comes_close_to_the_best_there_is(seed):
  rng = np.random.default_rng(seed)
  samples = _samples(rng, 5.0, 3.0, rng.integers(1, 9, 2000), 2000)
  prior = shrinkage.fit_prior(*samples)
  best = optimize.minimize(
    lambda log: _negative_likelihood(*samples, *np.exp(log)),
    np.log([4.0, 1.0]),
    method="Nelder-Mead",
  )
  reached = _negative_likelihood(*samples, *prior)
  # Half a step of the grid costs some thousandths of a nat for each score.
  assert best.fun - 1e-6 <= reached <= best.fun + 0.003 * 2000


def test_the_prior_follows_the_unit():
  rng = np.random.default_rng(9)
  squares, variances, degrees = _samples(
    rng, 5.0, 3.0, rng.integers(1, 9, 900), 900
  )
  prior = shrinkage.fit_prior(squares, variances, degrees)
  scaled = shrinkage.fit_prior(squares * 2**20, variances * 2**20, degrees)
  assert scaled.degrees == prior.degrees
  assert scaled.variance == pytest.approx(prior.variance * 2**20)


@pytest.mark.parametrize("zeros", [0.4, 0.8, 1.0])
def test_scores_without_spread_have_a_prior(zeros):
  rng = np.random.default_rng(3)
  squares, variances = rng.chisquare(3, (2, 500)) * (rng.random(500) >= zeros)
  prior = shrinkage.fit_prior(squares, variances, np.full(500, 3.0))
  assert prior.degrees > 0
  assert 0 < prior.variance < np.inf


def test_the_posterior_lies_between():
  spread, total = shrinkage.posterior(
    np.array([0.0, 4.0, 9.0]), np.array([0.0, 3.0, 9.0]), Prior(6.0, 2.0)
  )
  np.testing.assert_allclose(spread, [2.0, 24 / 9, (12 + 81) / 15])
  np.testing.assert_allclose(total, [6.0, 9.0, 15.0])
  spread, total = shrinkage.posterior(
    np.array([4.0]), np.array([3.0]), Prior(np.inf, 2.0)
  )
  assert spread == 2.0
  assert np.isinf(total)


@pytest.mark.parametrize("degrees", [0.1, 1.0, 5.5, 40.0, 99.9, 100.1, 1e4])
def test_the_student_density_is_scipys(degrees):
  z = np.array([-30.0, -1.0, 0.0, 0.3, 4.0])
  degrees = np.float64(degrees)
  log = shrinkage.student_normaliser(degrees) - 0.5 * np.log(2 * np.pi)
  log = log - shrinkage.student_deviance(z**2, degrees) / 2
  np.testing.assert_allclose(log, stats.t.logpdf(z, degrees), atol=1e-11)


@pytest.mark.parametrize("degrees", [1e9, 1e15, 1e300, np.inf])
def test_the_gaussian_is_its_limit(degrees):
  z = np.array([-30.0, 0.0, 0.3, 4.0])
  degrees = np.float64(degrees)
  log = shrinkage.student_normaliser(degrees) - 0.5 * np.log(2 * np.pi)
  log = log - shrinkage.student_deviance(z**2, degrees) / 2
  exact = stats.norm.logpdf(z)
  tolerance = 0 if np.isinf(degrees) else 1e6 / degrees
  np.testing.assert_allclose(log, exact, rtol=1e-15, atol=tolerance)
  deviate = shrinkage.normal_deviate(z, degrees)
  np.testing.assert_allclose(deviate, z, rtol=1e-6)


@pytest.mark.parametrize("degrees", [5.0, 12.0, 60.0])
def test_the_normal_deviate_has_the_tail_of_student(degrees):
  z = np.array([-6.0, -2.0, -0.1, 0.5, 1.0, 3.0, 8.0])
  exact = stats.norm.isf(stats.t.sf(z, degrees))
  result = shrinkage.normal_deviate(z, np.float64(degrees))
  np.testing.assert_allclose(result, exact, rtol=0.01)
