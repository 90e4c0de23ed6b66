"""Bounds from shadow models on mechanisms whose epsilon is known."""

import math

import numpy as np
import pytest

from syndata_jax import privacy
from syndata_jax.attack import (
  GuaranteeBroken,
  check_claim,
  epsilon_lower_bound,
  lira,
)
from syndata_jax.attack.epsilon import is_paired
from syndata_jax.data import make_split

_DELTA = 1e-6


def _pairs(generator, canaries, models):
  """bool[Q, M] as `make_split` deals."""
  half = generator.random((canaries // 2, models)).argsort(1).argsort(1)
  half = half < models // 2
  return np.stack([half, ~half], axis=1).reshape(canaries, models)


def _lira(raw, membership):
  return lira(raw[:, :, None], membership)


def _keep(raw, membership):
  del membership
  return raw


def test_the_split_of_an_audit_is_paired():
  labels = np.arange(100) % 10
  split = make_split(labels, 20, 8, 10, "mislabelled", 0)
  assert is_paired(split.membership)
  assert not is_paired(split.membership[1:-1])
  assert not is_paired(np.random.default_rng(0).random((20, 8)) < 0.5)


@pytest.mark.parametrize("attack", [_keep, _lira])
@pytest.mark.parametrize("paired", [True, False])
def test_no_leakage_shows_nothing(attack, paired):
  """Canaries of different difficulty, models of different quality."""
  generator = np.random.default_rng(0)
  above = 0
  for _ in range(200):
    membership = _pairs(generator, 40, 8)
    if not paired:
      # Still members and non-members enough in each row for LiRA.
      membership = membership[generator.permutation(40)]
    raw = generator.normal(size=(40, 8)) + 2 * generator.normal(size=(40, 1))
    raw += generator.normal(size=(1, 8))
    scores = attack(raw, membership)
    above += epsilon_lower_bound(scores, membership, 1e-5).epsilon > 0
  assert above <= 10


def test_pairs_hold_where_the_guarantee_is_tight():
  """Randomised response about which one of a pair is the member."""
  generator = np.random.default_rng(1)
  epsilon, epsilons = 1.0, []
  for _ in range(100):
    membership = _pairs(generator, 60, 8)
    honest = generator.random((30, 8)) < 1 / (1 + math.exp(-epsilon))
    scores = np.zeros((60, 8))
    scores[::2] = np.where(membership[::2] == honest, 1, -1)
    scores[::2] *= generator.random((30, 8))
    epsilons.append(epsilon_lower_bound(scores, membership, _DELTA).epsilon)
  assert np.mean(np.array(epsilons) > epsilon) <= 0.05
  assert np.mean(epsilons) > 0.5


def test_a_pair_is_one_coin():
  """Counted as two coins, a pair that repeats its luck would refute too much.

  The rows in another order are no pairs any more; the scores of a pair mirror
  each other, so half of the coins only repeat the other half.
  """
  generator = np.random.default_rng(2)
  wrong = right = 0
  for _ in range(200):
    membership = _pairs(generator, 200, 2)
    half = generator.normal(size=(100, 2))
    scores = np.stack([half, -half], axis=1).reshape(200, 2)
    right += epsilon_lower_bound(scores, membership, _DELTA).epsilon > 0
    order = np.r_[0:200:2, 1:200:2]
    bound = epsilon_lower_bound(scores[order], membership[order], _DELTA)
    wrong += bound.epsilon > 0
  assert right <= 10
  assert wrong > right


@pytest.mark.parametrize("attack", [_keep, _lira])
def test_gaussian_mechanism_from_below_with_power(attack):
  """A canary moves its own coordinate of each model by one clip norm."""
  generator = np.random.default_rng(3)
  sigma = privacy.gaussian_noise_multiplier(8.0, 1, 1e-5)
  claim = privacy.epsilon(1.0, sigma, 1, 1e-5, "replace_one")
  epsilons = []
  for _ in range(10):
    membership = _pairs(generator, 300, 32)
    raw = membership + sigma * generator.normal(size=(300, 32))
    raw += 5 * sigma * generator.normal(size=(300, 1)) * (attack is _lira)
    bound = epsilon_lower_bound(attack(raw, membership), membership, 1e-5)
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


def test_forgotten_noise_breaks_a_strict_claim():
  generator = np.random.default_rng(6)
  membership = _pairs(generator, 100, 16)
  scores = membership + 0.01 * generator.normal(size=(100, 16))
  bound = epsilon_lower_bound(scores, membership, 1e-5)
  assert bound.epsilon > 4
  with pytest.raises(GuaranteeBroken, match="above the claimed 2 ") as caught:
    check_claim(bound, 2.0)
  assert "\n" not in str(caught.value)
  check_claim(bound, 20.0)
  check_claim(bound, math.inf)


def test_refuses():
  with pytest.raises(ValueError, match="2-dimensional shape needed"):
    epsilon_lower_bound(np.zeros(4), np.zeros(4, bool), 1e-5)
