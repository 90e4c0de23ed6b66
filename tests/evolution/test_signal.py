"""A noisy histogram against its noise."""

import math

import numpy as np
import pytest

from syndata_jax.errors import UserError
from syndata_jax.evolution.signal import null_mass, signal


@pytest.mark.parametrize("threshold, stddev", [(0.0, 3.0), (4.0, 2.0)])
def test_null_mass_is_that_of_noise_alone(threshold, stddev):
  draws = stddev * np.random.default_rng(0).normal(size=2_000_000)
  simulated = np.maximum(draws - threshold, 0).mean()
  assert null_mass(threshold, stddev) == pytest.approx(simulated, rel=0.02)


def test_null_mass_of_the_reference():
  # Section 6 of the specification.
  assert null_mass(10, math.sqrt(50)) == pytest.approx(0.251, abs=5e-4)
  assert null_mass(0, 16.7) == pytest.approx(6.66, abs=5e-3)
  assert null_mass(1, 0) == 0


def test_noise_alone_is_no_signal():
  draw = np.random.default_rng(1)
  signals = [signal(5 * draw.normal(size=200), 2.0, 5.0) for _ in range(400)]
  assert np.mean([s.spread for s in signals]) == pytest.approx(0, abs=0.5)
  errors = np.array([s.spread / s.spread_error for s in signals])
  assert errors.std() == pytest.approx(1, abs=0.1)
  assert np.mean([s.stands_out for s in signals]) < 0.06
  mass = np.mean([s.mass for s in signals])
  assert mass == pytest.approx(signals[0].null_mass, rel=0.02)


def test_spread_is_that_of_the_clean_votes():
  draw = np.random.default_rng(2)
  clean = draw.poisson(20, 300) * (np.arange(300) % 3 == 0)
  noisy = clean + 6 * draw.normal(size=(300, 300))
  spread = np.mean([signal(row, 0.0, 6.0).spread for row in noisy])
  assert spread == pytest.approx(clean.var(ddof=1), rel=0.01)
  strong = signal(noisy[0], 0.0, 6.0)
  assert strong.stands_out
  assert strong.ratio == pytest.approx(strong.spread / 36)
  assert 0 < strong.excess < 1


def test_votes_on_all_alike_are_no_signal():
  even = signal(np.full(50, 7.0), 0.0, 0.0)
  assert even.spread == 0 and even.ratio == 0
  assert even.mass == 350 and even.excess == 1


def test_without_noise():
  clean = signal([0, 0, 9], 1.0, 0.0)
  assert clean.mass == 8 and clean.null_mass == 0
  assert clean.ratio == math.inf and clean.spent == math.inf


@pytest.mark.parametrize(
  "arguments, message",
  [
    (([1.0], 0.0, 1.0), "bins=1"),
    (([1.0, 2.0], -1.0, 1.0), "threshold=-1.0"),
    (([1.0, 2.0], 0.0, -1.0), "stddev=-1.0"),
  ],
)
def test_refuses(arguments, message):
  with pytest.raises(UserError, match=message):
    signal(*arguments)
