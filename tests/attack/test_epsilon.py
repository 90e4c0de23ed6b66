"""Bounds from shadow models on mechanisms whose epsilon is known."""

import math

import numpy as np
import pytest

from syndata_jax import privacy
from syndata_jax.attack import (
  GuaranteeBroken,
  check_claim,
  epsilon_lower_bound,
)

_DELTA = 1e-6


def _halves(generator, shape):
  return generator.random(shape).argsort(1).argsort(1) < shape[1] // 2


def _pairs(generator, canaries, models):
  """bool[Q, M] as `make_split` deals."""
  half = _halves(generator, (canaries // 2, models))
  return np.stack([half, ~half], axis=1).reshape(canaries, models)


def test_a_pair_is_one_coin():
  """Counted as two coins, a pair that repeats its luck would refute too much.

  Fair coins of their own, and then a second row that mirrors the first: where
  its rows are not neighbours there is no bound rather than a wrong one.
  """
  generator = np.random.default_rng(2)
  right = 0
  for _ in range(100):
    membership = _pairs(generator, 200, 8)
    half = generator.normal(size=(100, 8))
    scores = np.stack([half, -half], axis=1).reshape(200, 8)
    bound = epsilon_lower_bound(scores, membership, _DELTA)
    assert bound.coins == 400
    right += bound.epsilon > 0
    order = np.r_[0:200:2, 1:200:2]
    bound = epsilon_lower_bound(scores[order], membership[order], _DELTA)
    assert (bound.epsilon, bound.largest, bound.coins) == (0, 0, 0)
    assert "are not pairs" in bound.premise
  assert right <= 5


def test_gaussian_mechanism_from_below_with_power():
  """A canary moves its own coordinate of each model by one clip norm."""
  generator = np.random.default_rng(3)
  sigma = privacy.gaussian_noise_multiplier(8.0, 1, 1e-5)
  claim = privacy.epsilon(1.0, sigma, 1, 1e-5, "replace_one")
  epsilons = []
  for _ in range(10):
    membership = _pairs(generator, 300, 32)
    raw = membership + sigma * generator.normal(size=(300, 32))
    raw += 5 * sigma * generator.normal(size=(300, 1))
    bound = epsilon_lower_bound(raw, membership, 1e-5)
    assert bound.neighbours == "replace_one"
    check_claim(bound, claim)
    epsilons.append(bound.epsilon)
  assert np.mean(epsilons) > 2.5


def test_independent_coins_bound_add_or_remove():
  generator = np.random.default_rng(4)
  sigma = privacy.gaussian_noise_multiplier(8.0, 1, 1e-5)
  membership = generator.random((200, 16)) < 0.5
  scores = membership + sigma * generator.normal(size=(200, 16))
  bound = epsilon_lower_bound(scores, membership, 1e-5)
  assert bound.neighbours == "add_or_remove_one"
  assert bound.coins == 3_200
  assert 1.5 < bound.epsilon < 8.0


def test_canaries_that_share_the_luck_of_a_model():
  """In some models every canary looks like a member: no evidence at all."""
  generator = np.random.default_rng(5)
  above = 0
  for _ in range(100):
    membership = generator.random((100, 8)) < 0.5
    scores = 50.0 * (generator.random(8) < 0.3)
    scores = scores + generator.normal(size=(100, 8))
    above += epsilon_lower_bound(scores, membership, _DELTA).epsilon > 0
  assert above <= 5


@pytest.mark.parametrize("level", [0.0, 10.0])
def test_levels_of_examples_and_models_hide_nothing(level):
  """An example that all models find easy does not look like a member."""
  generator = np.random.default_rng(6)
  for draw in (_pairs, lambda g, q, m: g.random((q, m)) < 0.5):
    membership = draw(generator, 200, 16)
    scores = 6.0 * membership + generator.normal(size=(200, 16))
    scores += level * generator.normal(size=(200, 1))
    scores += level * generator.normal(size=(1, 16))
    assert epsilon_lower_bound(scores, membership, 1e-5).epsilon > 3.5


def test_a_target_is_judged_by_its_own_coins():
  generator = np.random.default_rng(7)
  membership = _pairs(generator, 400, 12)
  noise = generator.normal(size=(400, 12)) + 9 * generator.normal(size=(400, 1))
  # The target alone leaks.
  scores = noise + 8.0 * membership * (np.arange(12) == 5)
  leaky = epsilon_lower_bound(scores, membership, 1e-5, target=5)
  silent = epsilon_lower_bound(scores, membership, 1e-5, target=4)
  assert leaky.coins == silent.coins == 200
  assert silent.epsilon == 0
  alone = epsilon_lower_bound(scores[:, 5:6], membership[:, 5:6], 1e-5)
  assert leaky.epsilon > alone.epsilon + 0.5


def test_references_that_saw_none_calibrate():
  generator = np.random.default_rng(8)
  membership = np.zeros((400, 5), bool)
  membership[:, 2] = generator.random(400) < 0.5
  scores = 6.0 * membership + generator.normal(size=(400, 5))
  scores += 9 * generator.normal(size=(400, 1))
  bound = epsilon_lower_bound(scores, membership, 1e-5, target=2)
  assert bound.coins == 400
  assert bound.epsilon > 2.5


@pytest.mark.parametrize("models", [2, 8])
def test_a_target_under_no_leakage(models):
  """Halves give the coin of the target away, but not to the references."""
  generator = np.random.default_rng(9)
  above = 0
  for _ in range(150):
    membership = _halves(generator, (120, models))
    # All models but the target leak everything.
    scores = generator.normal(size=(120, models))
    scores[:, 1:] += 9.0 * membership[:, 1:]
    bound = epsilon_lower_bound(scores, membership, 1e-5, target=0)
    above += bound.epsilon > 0
  assert above <= 7


def test_forgotten_noise_breaks_a_strict_claim():
  generator = np.random.default_rng(6)
  membership = _pairs(generator, 100, 16)
  scores = membership + 0.01 * generator.normal(size=(100, 16))
  bound = epsilon_lower_bound(scores, membership, 1e-5)
  assert bound.epsilon > 4
  with pytest.raises(GuaranteeBroken, match="above the claimed 2 ") as caught:
    check_claim(bound, 2.0)
  assert "\n" not in str(caught.value)
  # All guesses are correct, so no audit of this size refutes more.
  assert bound.epsilon == pytest.approx(bound.largest)
  assert not check_claim(bound, bound.largest)
  assert not check_claim(bound, 20.0)
  assert not check_claim(bound, math.inf)


def test_what_was_put_to_the_test():
  generator = np.random.default_rng(10)
  membership = _pairs(generator, 100, 16)
  noise = generator.normal(size=(100, 16))
  bound = epsilon_lower_bound(noise, membership, 1e-5)
  assert bound.epsilon == 0
  assert check_claim(bound, bound.largest - 0.01)
  assert not check_claim(bound, bound.largest)
  unfair = epsilon_lower_bound(noise, np.ones((100, 16), bool), 1e-5)
  assert not check_claim(unfair, 0.0)


@pytest.mark.parametrize(
  ("canaries", "models", "least"), [(200, 32, 6.0), (500, 32, 6.8)]
)
def test_how_far_an_audit_of_pairs_reaches(canaries, models, least):
  membership = _pairs(np.random.default_rng(11), canaries, models)
  bound = epsilon_lower_bound(1.0 * membership, membership, 1e-5)
  assert least < bound.largest < least + 0.1
  assert bound.epsilon == pytest.approx(bound.largest)


def test_views_are_averaged():
  generator = np.random.default_rng(12)
  membership = _pairs(generator, 60, 8)
  scores = membership[:, :, None] + generator.normal(size=(60, 8, 3))
  assert epsilon_lower_bound(scores, membership, 1e-5) == epsilon_lower_bound(
    scores.mean(axis=2), membership, 1e-5
  )


@pytest.mark.parametrize("models", [1, 8, 32])
@pytest.mark.parametrize("percent", range(10, 100, 10))
def test_noise_shows_nothing_whatever_the_share_of_members(percent, models):
  generator = np.random.default_rng(percent)
  above = 0
  for _ in range(20):
    membership = generator.random((200, models)) < percent / 100
    scores = generator.standard_t(3, size=(200, models))
    bound = epsilon_lower_bound(scores, membership, 1e-5)
    above += bound.epsilon > 0
    assert bound.premise.startswith(
      "assumes that each example was included by a fair coin"
      if bound.coins
      else "no bound: "
    )
    if percent in (10, 20, 80, 90):
      assert bound.largest == bound.coins == 0
  assert above <= 1


@pytest.mark.parametrize(
  ("scores", "membership", "options", "message"),
  [
    (np.zeros(4), np.zeros(4, bool), {}, r"\[Q, M\] needed"),
    (np.zeros((4, 2)), np.zeros((4, 3), bool), {}, r"\[Q, M\] needed"),
    (np.zeros((0, 2)), np.zeros((0, 2), bool), {}, "not empty"),
    (np.full((4, 2), math.nan), np.zeros((4, 2), bool), {}, "not finite"),
    (np.zeros((4, 2)), np.zeros((4, 2), bool), {"delta": 0.0}, "delta=0.0"),
    (
      np.zeros((4, 2)),
      np.zeros((4, 2), bool),
      {"confidence": 1.0},
      r"confidence=1.0: must be in \(0.5, 1\)",
    ),
    (
      np.zeros((4, 2)),
      np.zeros((4, 2), bool),
      {"target": 2},
      r"target=2: must be in 0\.\.1",
    ),
  ],
)
def test_refuses(scores, membership, options, message):
  with pytest.raises(ValueError, match=message):
    epsilon_lower_bound(scores, membership, **({"delta": 1e-5} | options))
