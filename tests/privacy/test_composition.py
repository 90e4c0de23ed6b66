"""Several mechanisms against dp_accounting and closed forms."""

import math

import dp_accounting
import pytest
from dp_accounting import pld

from syndata_jax import privacy
from syndata_jax.errors import UserError
from syndata_jax.privacy import composed_epsilon

RELATIONS = ("add_or_remove_one", "replace_one")


def _gaussian(noise):
  return dp_accounting.GaussianDpEvent(noise)


def _laplace(noise):
  return dp_accounting.LaplaceDpEvent(noise)


def _sampled(rate, noise):
  return dp_accounting.PoissonSampledDpEvent(rate, _gaussian(noise))


def _peer(primitives, delta, neighbours="add_or_remove_one"):
  relation = dp_accounting.NeighboringRelation[neighbours.upper()]
  accountant = pld.PLDAccountant(relation, 1e-4)
  for event, count in primitives.items():
    accountant.compose(event, count)
  return accountant.get_epsilon(delta)


@pytest.mark.parametrize("neighbours", RELATIONS)
@pytest.mark.parametrize(
  "primitives, delta",
  [
    # Votes of Private Evolution, then a training.
    ({_gaussian(14.14): 10, _sampled(0.05, 1.5): 400}, 1e-5),
    ({_gaussian(8.0): 4, _gaussian(30): 7, _sampled(0.08, 10): 725}, 1e-6),
    # Two trainings, one short and hardly noisy.
    ({_sampled(0.2, 2.0): 5, _sampled(0.01, 1.2): 900}, 1e-5),
  ],
)
def test_hybrids_equal_dp_accounting(primitives, delta, neighbours):
  ours = composed_epsilon(primitives, delta, neighbours)
  expected = _peer(primitives, delta, neighbours)
  assert ours == pytest.approx(expected, rel=3e-4)


@pytest.mark.parametrize(
  "neighbours, sensitivity", zip(RELATIONS, (1, 2), strict=True)
)
def test_gaussians_alone_are_exact(neighbours, sensitivity):
  primitives = {_gaussian(10.0): 5, _gaussian(4.0): 2, _gaussian(0.9): 1}
  mu = sensitivity * math.sqrt(5 / 100 + 2 / 16 + 1 / 0.81)
  for delta in (1e-3, 1e-9, 1e-30):
    epsilon = composed_epsilon(primitives, delta, neighbours)
    delta_there = privacy.gaussian_delta(epsilon, mu)
    assert delta_there == pytest.approx(delta, rel=1e-9)


@pytest.mark.parametrize("neighbours", RELATIONS)
def test_a_training_alone_is_as_before(neighbours):
  for rate, noise, steps in ((0.05, 1.5, 100), (1.0, 20.0, 30), (0.01, 0, 9)):
    alone = composed_epsilon({_sampled(rate, noise): steps}, 1e-5, neighbours)
    assert alone == privacy.epsilon(rate, noise, steps, 1e-5, neighbours)


@pytest.mark.parametrize(
  "neighbours, sensitivity", zip(RELATIONS, (1, 2), strict=True)
)
def test_one_laplace_by_its_closed_form(neighbours, sensitivity):
  """Delta is 1 - exp((epsilon - sensitivity / noise) / 2)."""
  delta = 0.01
  epsilon = composed_epsilon({_laplace(3.0): 1}, delta, neighbours)
  exact = sensitivity / 3 + 2 * math.log1p(-delta)
  assert exact <= epsilon == pytest.approx(exact, rel=1e-3)


def test_laplace_among_others():
  primitives = {_laplace(10.0): 30, _gaussian(4.0): 3}
  ours = composed_epsilon(primitives, 1e-5)
  assert ours == pytest.approx(_peer(primitives, 1e-5), rel=1e-3)
  # Without any delta to speak of, epsilons add up.
  pure = composed_epsilon({_laplace(10.0): 30}, 1e-20)
  assert pure == pytest.approx(3.0, rel=1e-12)


@pytest.mark.parametrize(
  "primitives, delta",
  [
    ({_gaussian(1.0): 1, _sampled(0.01, 1.0): 100}, 1e-20),
    ({_gaussian(1e-4): 1, _sampled(0.001, 0.00625): 12_448}, 1e-5),
    ({_gaussian(1.0): 1, _sampled(0.01, 1e-9): 100}, 1e-5),
  ],
)
def test_finite_where_no_loss_distribution_is(primitives, delta):
  total = composed_epsilon(primitives, delta)
  parts = [composed_epsilon({e: n}, delta) for e, n in primitives.items()]
  assert max(parts) < total < math.inf
  halves = [composed_epsilon({e: n}, delta / 2) for e, n in primitives.items()]
  assert total <= sum(halves) * (1 + 1e-12)


def test_edges():
  assert composed_epsilon({}, 1e-5) == 0
  for silent in (
    dp_accounting.NonPrivateDpEvent(),
    _gaussian(0.0),
    _laplace(0.0),
    _sampled(0.5, 0.0),
  ):
    assert composed_epsilon({silent: 1}, 1e-5) == math.inf
    assert composed_epsilon({silent: 1, _gaussian(9.0): 1}, 1e-5) == math.inf
  assert composed_epsilon({_gaussian(1e-300): 1}, 1e-5) == math.inf
  with pytest.raises(UserError, match="delta=0: must be between 0 and 1"):
    composed_epsilon({}, 0)
  with pytest.raises(UserError, match="neighbours=zero_out: must be one of"):
    composed_epsilon({}, 1e-5, "zero_out")
