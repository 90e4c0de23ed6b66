"""Sensitivity, noise and accounting of the clients' sum."""

import dataclasses
import math

import dp_accounting
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from syndata_jax.errors import UserError
from syndata_jax.evolution.federated import client
from syndata_jax.evolution.federated.mechanism import (
  DistributedSkellam,
  fine_scale,
  least_noise,
)
from syndata_jax.privacy import Ledger, gaussian_epsilon


def _mechanism(**fields):
  return DistributedSkellam(
    **{
      "clip_norm": 1.0,
      "scale": 64,
      "noise_multiplier": 2.0,
      "num_candidates": 20,
      "max_clients": 4,
      "min_honest": 3,
      **fields,
    }
  )


_VOTES = st.lists(st.integers(0, 30), min_size=1, max_size=30)


@settings(deadline=None, max_examples=60)
@given(
  votes=_VOTES,
  clip_norm=st.sampled_from([0.1, 1.0, 7.0]),
  scale=st.sampled_from([1, 3, 64]),
  seed=st.integers(0, 99),
)
def test_no_client_moves_the_sum_by_more_than_the_sensitivity(
  votes, clip_norm, scale, seed
):
  mechanism = _mechanism(
    clip_norm=clip_norm,
    scale=scale,
    num_candidates=len(votes),
    noise_multiplier=0.0,
  )
  added = client.contribution(
    np.asarray(votes, float), mechanism, np.random.default_rng(seed)
  )
  # In whole numbers; without noise nothing is negative, nothing wraps.
  square = sum(int(entry) ** 2 for entry in added)
  assert square <= mechanism.squared_bound
  assert math.sqrt(mechanism.squared_bound) <= clip_norm * scale + math.sqrt(
    len(votes)
  )


@settings(deadline=None, max_examples=40)
@given(first=_VOTES, second=_VOTES, seed=st.integers(0, 99))
def test_replacing_a_client_moves_it_by_root_two_of_that(first, second, seed):
  size = max(len(first), len(second))
  mechanism = _mechanism(num_candidates=size, noise_multiplier=0.0)
  generator = np.random.default_rng(seed)
  sums = [
    client.contribution(
      np.pad(np.asarray(votes, float), (0, size - len(votes))),
      mechanism,
      generator,
    ).astype(np.int64)
    for votes in (first, second)
  ]
  distance = math.dist(*sums)
  ratio = mechanism.release().replace_one_sensitivity
  assert distance <= ratio * mechanism.sensitivity * (1 + 1e-12)


@settings(deadline=None)
@given(votes=_VOTES, clip_norm=st.floats(0.01, 100))
def test_clipping_keeps_the_direction_and_never_lengthens(votes, clip_norm):
  votes = np.asarray(votes, float)
  result = client.clipped(votes, clip_norm)
  norm = np.linalg.norm(votes)
  if norm <= clip_norm:
    np.testing.assert_array_equal(result, votes)
  else:
    np.testing.assert_allclose(result, votes * clip_norm / norm)
    assert np.linalg.norm(result) == pytest.approx(clip_norm)


def test_rounding_is_right_on_average():
  steps = np.array([0.0, 0.25, 0.5, 3.9, 7.0])
  generator = np.random.default_rng(0)
  drawn = np.stack(
    [client.rounded(steps, 10**6, generator) for _ in range(4000)]
  )
  np.testing.assert_allclose(drawn.mean(axis=0), steps, atol=0.04)
  assert (np.abs(drawn - steps) < 1).all()
  assert (drawn[:, [0, 4]] == [0, 7]).all()


def test_what_cannot_be_short_enough_is_rounded_down():
  steps = np.full(400, 0.999)
  drawn = client.rounded(steps, 350, np.random.default_rng(0))
  assert (drawn == 0).all()


def test_shares_of_noise_add_up():
  """A sum of Skellam variables is one: of the variance of the whole."""
  mechanism = _mechanism(num_candidates=6000, scale=8, noise_multiplier=0.4)
  generator = np.random.default_rng(0)
  total = sum(
    client.noise_share(mechanism.share_variance, 6000, generator)
    for _ in range(mechanism.min_honest)
  )
  assert total.mean() == pytest.approx(0, abs=4 * total.std() / 77)
  assert total.var() == pytest.approx(mechanism.variance, rel=0.08)
  half = mechanism.variance / 2
  # Whole numbers: a continuous test against their distribution function, made
  # continuous by spreading each over its unit.
  spread = total + generator.random(6000)

  def distribution(points):
    below = np.floor(points)
    part = points - below
    return (1 - part) * stats.skellam.cdf(
      below - 1, half, half
    ) + part * stats.skellam.cdf(below, half, half)

  assert stats.kstest(spread, distribution).pvalue > 0.01


@pytest.mark.parametrize("variance", [3.0, 20.0, 400.0])
@pytest.mark.parametrize("order", [2, 5, 20])
def test_the_bound_holds_for_the_divergence_in_one_dimension(variance, order):
  mechanism = _mechanism(num_candidates=1, clip_norm=2.0, scale=1)
  shift = math.isqrt(mechanism.squared_bound)
  assert shift == 2
  places = np.arange(-300, 301)
  half = variance / 2
  log_first = stats.skellam.logpmf(places - shift, half, half)
  log_second = stats.skellam.logpmf(places, half, half)
  known = np.isfinite(log_first) & np.isfinite(log_second)
  terms = order * log_first[known] - (order - 1) * log_second[known]
  exact = special.logsumexp(terms) / (order - 1)
  noise = math.sqrt(variance / mechanism.squared_bound)
  event = dataclasses.replace(mechanism, noise_multiplier=noise).event
  gaussian = order * mechanism.squared_bound / (2 * variance)
  assert 0.6 * exact < gaussian <= event.xi + event.rho * order
  assert exact <= event.xi + event.rho * order


def test_the_sum_costs_little_more_than_a_gaussian_release():
  mechanism = _mechanism(
    scale=fine_scale(1.0, 2000), num_candidates=2000, noise_multiplier=4.0
  )
  # Of rounding: a percent of the sensitivity.
  assert mechanism.sensitivity / mechanism.scale < 1.012
  ledger = Ledger(1e-5).add(mechanism.release())
  exact = gaussian_epsilon(1 / 4, 1e-5)
  assert exact < ledger.epsilon() < 1.1 * exact


@pytest.mark.parametrize("neighbours", ["add_or_remove_one", "replace_one"])
def test_the_least_noise_spends_epsilon_and_no_more(neighbours):
  whole = Ledger(1e-5, neighbours, budget=1.5)
  noise = least_noise(1.5, whole, [_mechanism()])
  one = whole.add(_mechanism(noise_multiplier=noise).release())
  assert one.epsilon() == pytest.approx(1.5, rel=1e-6)
  # Split over three rounds of unequal noise: within it too.
  for share in (0.2, 0.5, 0.3):
    part = _mechanism(noise_multiplier=noise / math.sqrt(share))
    whole = whole.add(part.release())
  assert 1.45 < whole.epsilon() <= 1.5
  # Of sums of which nobody knows yet which they are: enough for each.
  sizes = [_mechanism(num_candidates=size) for size in (4, 400)]
  most = least_noise(1.5, Ledger(1e-5, neighbours), sizes)
  assert most >= max(least_noise(1.5, whole, [one]) for one in sizes)


def test_without_noise_there_is_no_guarantee():
  event = _mechanism(noise_multiplier=0.0).event
  assert isinstance(event, dp_accounting.NonPrivateDpEvent)


@pytest.mark.parametrize(
  "fields, message",
  [
    ({"clip_norm": 0.0}, "clip_norm"),
    ({"scale": 0}, "scale"),
    ({"min_honest": 2, "max_clients": 4}, "half of max_clients=4"),
    ({"min_honest": 3, "max_untrusted": 2}, "min_honest"),
    ({"scale": 2**50}, "at most 56"),
  ],
)
def test_bad_input(fields, message):
  with pytest.raises(UserError, match=message):
    _mechanism(**fields)


def test_honest_sums_fit_into_the_modulus():
  mechanism = _mechanism(num_candidates=3, noise_multiplier=5.0)
  span = 2**mechanism.bits
  assert mechanism.bits % 8 == 0
  assert span >= 16 * (mechanism.largest + 2 * mechanism.tail)
