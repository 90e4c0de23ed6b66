"""Epsilon against dp_accounting, closed forms and published figures."""

import math

import dp_accounting
import numpy as np
import pytest
from dp_accounting import pld, rdp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from syndata_jax import privacy
from syndata_jax.errors import UserError

# Sample rate, noise multiplier, steps, delta.
DE = (4096 / 50_000, 10.0, 725, 1e-5)
TAN = (4096 / 50_000, 3.0, 2_500, 1e-5)
MEDIUM = (2048 / 49_750, 0.2, 5_000, 1e-5)
HIGH = (64 / 49_750, 0.00625, 12_448, 1e-5)
VERY_HIGH = (64 / 49_750, 0.003125, 19_450, 1e-5)
LONG = (256 / 50_000, 0.7, 20_000, 1e-5)


def _peer(accountant, rate, noise, steps, delta):
  event = dp_accounting.PoissonSampledDpEvent(
    rate, dp_accounting.GaussianDpEvent(noise)
  )
  return accountant.compose(event, steps).get_epsilon(delta)


@pytest.mark.parametrize(
  "setting", [DE, TAN, (0.01, 1.0, 1_000, 1e-6), (0.5, 2.0, 10, 1e-5)]
)
@pytest.mark.parametrize("neighbours", ["add_or_remove_one", "replace_one"])
def test_equals_dp_accounting(setting, neighbours):
  relation = dp_accounting.NeighboringRelation[neighbours.upper()]
  expected = _peer(pld.PLDAccountant(relation), *setting)
  ours = privacy.epsilon(*setting, neighbours)
  assert ours == pytest.approx(expected, rel=2e-4)


def test_a_wide_grid_is_as_good_as_a_fine_one():
  add_or_remove = dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE
  for setting, width in (
    (MEDIUM, 5e-3),
    (LONG, 2e-4),
    (HIGH, 1.0),
    ((0.5, 1.0, 20_000, 1e-5), 5e-3),
  ):
    fine = _peer(pld.PLDAccountant(add_or_remove, width), *setting)
    assert privacy.epsilon(*setting) == pytest.approx(fine, rel=2e-3)


@pytest.mark.parametrize(
  "setting", [DE, TAN, MEDIUM, HIGH, VERY_HIGH, LONG, (0.9, 0.1, 100, 1e-5)]
)
def test_never_above_renyi_accounting(setting):
  assert privacy.epsilon(*setting) < _peer(rdp.RdpAccountant(), *setting)


@pytest.mark.parametrize(
  "setting, published",
  [(DE, 1.0), (TAN, 8.0), (MEDIUM, 3.6e3), (HIGH, 1.7e8), (VERY_HIGH, 1.1e9)],
)
def test_published_settings_by_the_accounting_of_their_time(setting, published):
  """The high settings were published with Renyi orders of 1.1 and more.

  Those are upper bounds, and very loose ones: they charge every step in full,
  where an example takes part in some 16 or 25. Ours may only be lower.
  """
  orders = [1 + x / 10 for x in range(1, 100)] + list(range(11, 64))
  peer = _peer(rdp.RdpAccountant(orders), *setting)
  assert peer == pytest.approx(published, rel=0.12)
  assert 0 < privacy.epsilon(*setting) <= 1.01 * published


@pytest.mark.parametrize(
  "setting, low, high",
  [
    (MEDIUM, 2.40e3, 2.43e3),
    (HIGH, 4.5e5, 4.61e5),
    (VERY_HIGH, 2.45e6, 2.52e6),
  ],
)
def test_high_epsilons_are_finite_and_tight(setting, low, high):
  """Against the largest number of steps the example takes part in.

  With almost no noise a step that includes it costs mu^2 / 2 and the binomial
  number of them is what is random.
  """
  assert low < privacy.epsilon(*setting) < high
  rate, noise, steps, delta = setting
  if noise < 0.01:
    taken = stats.binom.isf(delta, steps, rate)
    assert privacy.epsilon(*setting) == pytest.approx(
      taken / (2 * noise**2), rel=0.05
    )


def test_one_step_against_integration():
  """The hockey-stick divergence of both orders, by quadrature."""
  rate, noise, delta = 0.3, 0.8, 1e-3
  epsilon = privacy.epsilon(rate, noise, 1, delta)
  plain = stats.norm(0, noise).pdf
  shifted = stats.norm(1, noise).pdf
  mixture = lambda x: (1 - rate) * plain(x) + rate * shifted(x)
  grid = np.linspace(-10, 12, 200_001)

  def divergence(p, q):
    excess = np.maximum(p(grid) - math.exp(epsilon) * q(grid), 0)
    return integrate.trapezoid(excess, grid)

  worst = max(divergence(mixture, plain), divergence(plain, mixture))
  assert worst <= delta * (1 + 1e-9)  # the quadrature's own error
  assert worst == pytest.approx(delta, rel=1e-3)


def test_without_sampling_it_is_the_gaussian_mechanism():
  for noise, steps, delta in (
    (2.0, 4, 1e-5),
    (0.01, 1, 1e-5),
    (50, 1000, 1e-3),
  ):
    epsilon = privacy.epsilon(1.0, noise, steps, delta)
    mu = math.sqrt(steps) / noise
    assert privacy.gaussian_delta(epsilon, mu) == pytest.approx(delta, rel=1e-3)
    replaced = privacy.epsilon(1.0, noise, steps, delta, "replace_one")
    doubled = privacy.gaussian_delta(replaced, 2 * mu)
    assert doubled == pytest.approx(delta, rel=2e-3)


def test_edges():
  assert privacy.epsilon(0.1, 0.0, 10, 1e-5) == math.inf
  # The example takes part in one run out of a million.
  assert privacy.epsilon(1e-7, 0.0, 10, 1e-5) == 0
  for setting in (
    (0.01, 1e-9, 20_000, 1e-5),
    (0.01, 1.0, 10_000, 1e-15),
    (0.01, 1.0, 10_000, 1e-25),
    (0.9, 0.1, 20_000, 1e-5),
  ):
    assert 0 < privacy.epsilon(*setting) < math.inf
  assert privacy.epsilon(0.01, 1.0, 100, 1e-25) > privacy.epsilon(
    0.01, 1.0, 100, 1e-10
  )


_RATES = st.floats(1e-3, 1.0)
_NOISES = st.floats(0.3, 20.0)
_STEPS = st.integers(1, 500)
_DELTAS = st.floats(1e-8, 1e-2)


@settings(max_examples=6, deadline=None)
@given(_RATES, _NOISES, _STEPS, _DELTAS)
def test_monotone_in_everything(rate, noise, steps, delta):
  epsilon = privacy.epsilon(rate, noise, steps, delta)
  # Room for the rounding of the grid.
  least = epsilon * 0.998 - 1e-3
  assert privacy.epsilon(rate, noise / 1.5, steps, delta) >= least
  assert privacy.epsilon(min(1.0, 1.5 * rate), noise, steps, delta) >= least
  assert privacy.epsilon(rate, noise, 2 * steps, delta) >= least
  assert privacy.epsilon(rate, noise, steps, delta / 2) >= least
  assert privacy.epsilon(rate, noise, steps, delta, "replace_one") >= least


@pytest.mark.parametrize(
  "target, rate, steps, delta",
  [
    (1.0, 4096 / 50_000, 725, 1e-5),
    (8.0, 64 / 1_700, 100, 1e-5),
    (8.0, 1.0, 100, 1e-5),
    (1e4, 1e-3, 200, 1e-5),
    (1e-3, 0.01, 100, 1e-5),
  ],
)
def test_noise_is_enough_and_no_more(target, rate, steps, delta):
  noise = privacy.noise_multiplier(target, rate, steps, delta)
  assert privacy.epsilon(rate, noise, steps, delta) <= target
  assert privacy.epsilon(rate, noise * (1 - 1e-3), steps, delta) > target


def test_an_example_that_hardly_ever_takes_part_needs_no_noise():
  assert privacy.noise_multiplier(1.0, 1e-7, 10, 1e-5) == 0


@pytest.mark.parametrize(
  "arguments, message",
  [
    ((0.0, 1.0, 10, 1e-5), "sample_rate=0.0: must be above 0"),
    ((1.1, 1.0, 10, 1e-5), "sample_rate=1.1: must be above 0 and at most 1"),
    ((math.nan, 1.0, 10, 1e-5), "sample_rate=nan"),
    ((0.1, -1.0, 10, 1e-5), "noise_multiplier=-1.0: must be 0 or more"),
    ((0.1, math.inf, 10, 1e-5), "noise_multiplier=inf"),
    ((0.1, 1.0, 0, 1e-5), "steps=0: must be a whole number of at least 1"),
    ((0.1, 1.0, 1.5, 1e-5), "steps=1.5: must be a whole number"),
    ((0.1, 1.0, 10, None), "delta=None: must be between 0 and 1"),
    ((0.1, 1.0, 10, 0.0), "delta=0.0: must be between 0 and 1"),
    ((0.1, 1.0, 10, 1.0), "delta=1.0: must be between 0 and 1"),
    ((0.1, 1.0, 10, 1e-5, "zero_out"), "neighbours=zero_out: must be one of"),
  ],
)
def test_refuses_in_one_line(arguments, message):
  with pytest.raises(UserError, match=message) as caught:
    privacy.epsilon(*arguments)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("target", [0.0, -1.0, math.inf, math.nan, None])
def test_refuses_a_target(target):
  with pytest.raises(UserError, match=f"epsilon={target}: must be above 0"):
    privacy.noise_multiplier(target, 0.1, 10, 1e-5)
