"""Shares of the budget, and the filter that no signal gets past."""

import fractions
import math

import dp_accounting
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syndata_jax import privacy
from syndata_jax.errors import UserError
from syndata_jax.evolution import budget
from syndata_jax.evolution.options import EvolutionOptions
from syndata_jax.evolution.signal import Signal, signal

DELTA = 1e-5
# Of the specification, section 5.4: epsilon 1, T = 10, w_t proportional to t.
INCREASING = (27.667, 19.564, 15.974, 13.834, 12.373)
INCREASING += (11.295, 10.457, 9.782, 9.222, 8.749)


def _release(noise):
  return privacy.Release(
    "Gaussian",
    "votes",
    dp_accounting.GaussianDpEvent(noise),
    replace_one_sensitivity=math.sqrt(2),
  )


def _noises(plan, draw=None):
  """What the plan asks for, step by step, and the signals it was shown."""
  signals, noises = [], []
  while (noise := plan.next(signals)) is not None:
    noises.append(noise)
    votes = np.zeros(50) if draw is None else draw(len(noises))
    signals.append(signal(votes, 0.0, noise))
  return noises, signals


def test_uniform_and_increasing_of_the_specification():
  uniform = budget.plan(EvolutionOptions(epsilon=1.0), DELTA)
  np.testing.assert_allclose(_noises(uniform)[0], [11.797] * 10, rtol=5e-5)
  rising = budget.plan(
    EvolutionOptions(epsilon=1.0, budget="increasing"), DELTA
  )
  np.testing.assert_allclose(_noises(rising)[0], INCREASING, rtol=5e-5)
  falling = budget.plan(
    EvolutionOptions(epsilon=1.0, budget="decreasing"), DELTA
  )
  np.testing.assert_allclose(_noises(falling)[0], INCREASING[::-1], rtol=5e-5)


@pytest.mark.parametrize("neighbours", privacy.ledger.validate.NEIGHBOURS)
@pytest.mark.parametrize("name", ["uniform", "increasing", "decreasing"])
def test_a_schedule_spends_what_the_ledger_allows_and_no_more(neighbours, name):
  options = EvolutionOptions(
    epsilon=2.0, num_iterations=7, budget=name, neighbours=neighbours
  )
  ledger = privacy.Ledger(DELTA, neighbours, budget=2.0)
  for noise in _noises(budget.plan(options, DELTA))[0]:
    ledger = ledger.add(_release(noise))
  assert ledger.epsilon() == pytest.approx(2.0, rel=1e-6)
  with pytest.raises(UserError, match="is spent"):
    ledger.add(_release(100.0))


@pytest.mark.parametrize("epsilon", [0.3, 1.0, 4.0, 10.0])
def test_rounding_never_exceeds_what_was_asked_for(epsilon):
  for iterations in (1, 3, 7, 10, 29):
    options = EvolutionOptions(epsilon=epsilon, num_iterations=iterations)
    for delta in (DELTA, 1.14e-4):
      ledger = privacy.Ledger(delta)
      for noise in _noises(budget.plan(options, delta))[0]:
        ledger = ledger.add(_release(noise))
      assert (1 - 1e-9) * epsilon < ledger.epsilon() <= epsilon


def test_other_releases_come_first():
  options = EvolutionOptions(
    epsilon=1.0, class_shares="private", counts_share=0.1, start_check_share=0.2
  )
  counts = budget.noise_of_share(options, DELTA, options.counts_share)
  check = budget.noise_of_share(options, DELTA, options.start_check_share)
  extra = budget.cost(counts) + budget.cost(check)
  plan = budget.plan(options, DELTA, extra)
  assert plan.total == pytest.approx(0.7 * budget.total(options, DELTA))
  ledger = privacy.Ledger(DELTA, budget=1.0)
  for noise in (counts, check, *_noises(plan)[0]):
    ledger = ledger.add(_release(noise))
  assert ledger.epsilon() == pytest.approx(1.0, rel=1e-6)
  with pytest.raises(UserError, match="class counts and start check"):
    budget.plan(options, DELTA, budget.total(options, DELTA))


def test_a_noise_multiplier_is_that_of_the_histograms():
  options = EvolutionOptions(
    noise_multiplier=8.0, num_iterations=4, start_check_share=0.5
  )
  check = budget.noise_of_share(options, DELTA, 0.5)
  plan = budget.plan(options, DELTA, budget.cost(check))
  np.testing.assert_allclose(_noises(plan)[0], [8.0] * 4)
  assert check == pytest.approx(4.0)  # as much as four at 8


def test_without_noise():
  for name in budget.NAMES:
    options = EvolutionOptions(epsilon=math.inf, num_iterations=3, budget=name)
    plan = budget.plan(options, DELTA)
    assert _noises(plan)[0] == [0.0] * 3
    assert plan.reserved(()) is None
  assert budget.noise_of_share(options, DELTA, 0.1) == 0


def test_explicit_weights_of_the_options():
  options = EvolutionOptions(
    epsilon=1.0, num_iterations=2, budget_weights=[1, 3]
  )
  noises, _ = _noises(budget.plan(options, DELTA))
  whole = 1 / 0.268051**2
  np.testing.assert_allclose(
    np.square(noises), [4 * whole, 4 / 3 * whole], rtol=1e-5
  )
  for fields, message in [
    ({"budget_weights": (1, 2, 3)}, "must be 2 numbers"),
    ({"budget_weights": (1, -1)}, "budget_weights=-1"),
    (
      {"budget_weights": (1, 2), "budget": "adaptive"},
      "must not be set beside",
    ),
    ({"threshold": 1.0, "threshold_deviations": 1.0}, "one must be 0"),
    ({"vote_weights": "decaying", "noise": "discrete"}, "must be 'equal'"),
  ]:
    with pytest.raises(UserError, match=message):
      EvolutionOptions(epsilon=1.0, num_iterations=2, **fields)


def test_weights():
  assert budget.weights((1, 3), 2) == (0.25, 0.75)
  assert budget.weights("adaptive", 3) == (1 / 14, 4 / 14, 9 / 14)
  with pytest.raises(UserError, match="one of uniform, increasing"):
    budget.weights("linear", 3)
  with pytest.raises(UserError, match="must have 3 weights"):
    budget.weights((1, 2), 3)
  with pytest.raises(UserError, match="budget=0"):
    budget.weights((1, 0), 2)


_STRANGE = st.builds(
  Signal,
  mass=st.floats(0, 1e6),
  null_mass=st.floats(0, 1e6),
  spread=st.floats(-1e6, 1e9),
  spread_error=st.floats(0, 1e6),
  stddev=st.just(1.0),
  num_bins=st.integers(2, 1000),
)


@settings(max_examples=60, deadline=None)
@given(
  st.floats(0.01, 50),
  st.integers(1, 25),
  st.lists(_STRANGE, min_size=25, max_size=25),
)
def test_no_signals_overspend(epsilon, iterations, answers):
  options = EvolutionOptions(
    epsilon=epsilon, num_iterations=iterations, budget="adaptive"
  )
  plan = budget.plan(options, DELTA)
  ledger = privacy.Ledger(DELTA, budget=epsilon)
  signals = []
  while (noise := plan.next(signals)) is not None:
    assert 0 < noise < math.inf
    ledger = ledger.add(_release(noise))  # never refused
    signals.append(answers[len(signals)]._replace(stddev=noise))
  assert 1 <= len(signals) <= iterations
  spent = sum(1 / fractions.Fraction(s.stddev) ** 2 for s in signals)
  assert spent <= fractions.Fraction(plan.total) * (
    1 + fractions.Fraction(1e-12)
  )
  # With what is set aside, the statement counts the whole plan.
  reserved = plan.reserved(signals)
  if reserved is not None:
    ledger = ledger.add(reserved)
  assert ledger.epsilon() == pytest.approx(epsilon, rel=1e-5)


def _shown(draw, bins=2000):
  """What an adaptive plan of 8 histograms does."""
  options = EvolutionOptions(epsilon=1.0, num_iterations=8, budget="adaptive")
  plan = budget.plan(options, DELTA)
  noises, signals = [], []
  while (noise := plan.next(signals)) is not None:
    noises.append(noise)
    noisy = draw(len(noises)) + noise * NORMAL.normal(size=bins)
    signals.append(signal(noisy, 0.0, noise))
  return plan, np.array(noises), signals


NORMAL = np.random.default_rng(0)


def test_adaptive_spends_more_where_the_signal_is_strong():
  strong = 1000.0 * (np.arange(2000) < 20)
  weak = np.ones(2000)
  _, seen, _ = _shown(lambda step: strong)
  _, unseen, _ = _shown(lambda step: weak)
  _, fades, _ = _shown(lambda step: strong if step < 4 else weak)
  # The first two are alike; then a signal that is seen gets its share of what
  # is left, one that is not half of it.
  np.testing.assert_array_equal(seen[:2], unseen[:2])
  assert (unseen[2] / seen[2]) ** 2 == pytest.approx(2, rel=0.01)
  np.testing.assert_array_equal(seen[:3], fades[:3])
  assert fades[5] > seen[5]
  # A single strong histogram is no stable signal.
  _, once, _ = _shown(lambda step: strong if step == 2 else weak)
  assert once[2] == unseen[2]


def test_adaptive_stops_early_and_gives_back():
  plan, noises, signals = _shown(lambda step: np.ones(30_000), 30_000)
  assert 2 < len(noises) < 8
  assert plan.rest(signals) > 0.2 * plan.total
  reserved = plan.reserved(signals)
  ledger = privacy.Ledger(DELTA, budget=1.0)
  for noise in noises:
    ledger = ledger.add(_release(noise))
  assert ledger.epsilon() < 0.95
  # Another release may spend what is left, or the statement counts it.
  assert ledger.add(reserved).epsilon() == pytest.approx(1.0, rel=1e-6)
  again = budget.Plan(plan.rest(signals), (1.0,))
  assert ledger.add(_release(again.next([]))).epsilon() <= 1 + 1e-9


def test_adaptive_spends_everything_on_what_it_sees():
  plan, noises, signals = _shown(lambda step: 50.0 * (np.arange(2000) < 500))
  assert len(noises) == 8
  assert plan.rest(signals) < 1e-9 and plan.reserved(signals) is None


def test_the_filter_holds_after_another_spent_more():
  plan = budget.Plan(total=1.0, weights=(0.5, 0.5), adaptive=True)
  everything = signal(np.arange(20.0), 0.0, 0.5)  # costs 4
  assert plan.next([everything]) is None
  assert plan.rest([everything]) == 0


def test_what_a_ledger_has_left():
  ledger = privacy.Ledger(DELTA, budget=2.0)
  whole = budget.left(ledger)
  assert math.sqrt(whole) == pytest.approx(0.501552, rel=1e-5)
  half = ledger.add(_release(math.sqrt(2 / whole)))
  assert budget.left(half) == pytest.approx(whole / 2, rel=2e-4)
  assert budget.left(privacy.Ledger(DELTA)) == math.inf
  full = ledger.add(_release(1 / math.sqrt(whole)))
  assert budget.left(full) < 1e-6


@pytest.mark.slow
def test_what_dp_sgd_leaves_can_be_spent():
  training = privacy.Release(
    "DP-SGD",
    "model",
    dp_accounting.SelfComposedDpEvent(
      dp_accounting.PoissonSampledDpEvent(
        0.05, dp_accounting.GaussianDpEvent(2.0)
      ),
      50,
    ),
  )
  ledger = privacy.Ledger(DELTA, budget=2.0).add(training)
  square = budget.left(ledger)
  assert 0 < square < budget.left(privacy.Ledger(DELTA, budget=2.0))
  assert ledger.add(_release(1 / math.sqrt(square))).epsilon() <= 2.0
  with pytest.raises(UserError, match="is spent"):
    ledger.add(_release(0.99 / math.sqrt(square)))
