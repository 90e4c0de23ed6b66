"""RMIA and BASE, online and offline, against plain loops."""

import math
import time

import numpy as np
import pytest
from memberships import chance, coins, paired, unbalanced

from syndata_jax.attack import (
  auc,
  base,
  offline_rmia,
  rmia,
  tpr_at_fpr,
)

ATTACKS = [base, rmia, offline_rmia]


def _probability(score):
  return 1 / (1 + math.exp(-score))


def _marginal(scores, membership, example, model, view, a):
  """The mean likelihood of the references, online if `a` is None."""
  sides = {True: [], False: []}
  for other, member in enumerate(membership[example]):
    if other != model:
      sides[bool(member)].append(_probability(scores[example, other, view]))
  outside = np.mean(sides[False])
  inside = np.mean(sides[True]) if a is None else a * outside + 1 - a
  return (inside + outside) / 2


def _ratios(scores, membership, target, a=None):
  examples, models, views = scores.shape
  judged = range(models) if target is None else [target]
  return np.array(
    [
      [
        [
          _probability(scores[i, t, v])
          / _marginal(scores, membership, i, t, v, a)
          for v in range(views)
        ]
        for t in judged
      ]
      for i in range(examples)
    ]
  )


def _shares(ratios):
  result = np.zeros(ratios.shape[:2])
  examples, models, views = ratios.shape
  for i in range(examples):
    for t in range(models):
      shares = [
        np.mean(
          [
            ratios[i, t, v] / ratios[z, t, v] >= 1
            for z in range(examples)
            if z != i
          ]
        )
        for v in range(views)
      ]
      result[i, t] = np.mean(shares)
  return result


def _drawn(design, seed=0, shape=(12, 8, 3)):
  rng = np.random.default_rng(seed)
  membership = design(rng, *shape[:2])
  scores = rng.normal(rng.normal(0, 2, (shape[0], 1, 1)), 1, shape)
  return scores + 2 * membership[:, :, None], membership


@pytest.mark.parametrize("target", [None, 5])
@pytest.mark.parametrize("design", [paired, unbalanced, coins])
def test_equal_the_loops(design, target):
  scores, membership = _drawn(design)
  before = scores.copy()
  online = _ratios(scores, membership, target)
  np.testing.assert_allclose(
    base(scores, membership, target), np.log(online).mean(axis=2), atol=1e-12
  )
  np.testing.assert_allclose(
    rmia(scores, membership, target), _shares(online), atol=1e-12
  )
  for a in (0.0, 0.3, 0.9):
    np.testing.assert_allclose(
      offline_rmia(scores, membership, a, target),
      _shares(_ratios(scores, membership, target, a)),
      atol=1e-12,
    )
  np.testing.assert_array_equal(scores, before)


def test_the_default_of_a_is_the_papers():
  scores, membership = _drawn(paired)
  np.testing.assert_array_equal(
    offline_rmia(scores, membership), offline_rmia(scores, membership, 0.3)
  )


@pytest.mark.parametrize("size", [100.0, 700.0, 1e5])
def test_extreme_scores_neither_overflow_nor_tie(size):
  """All p are 0 or 1 to rounding, their logarithms are not."""
  rng = np.random.default_rng(1)
  membership = paired(rng, 6, 8)
  sign = np.where(membership, 1, -1)[:, :, None]
  scores = sign * size * rng.uniform(0.5, 1, (6, 8, 1))
  ratio = base(scores, membership)
  assert np.isfinite(ratio).all()
  assert ratio[membership].min() > ratio[~membership].max()
  low = -size * rng.uniform(0.5, 1, (6, 8, 1))
  ratio = base(low, membership)
  assert np.isfinite(ratio).all()
  # Beyond exp(700) one reference hides the rest.
  assert size > 700 or len(np.unique(ratio)) == ratio.size
  for attack in (rmia, offline_rmia):
    assert np.isfinite(attack(low, membership)).all()


def test_an_outlier_does_not_hide_the_references_of_others():
  """Taking it from a total would leave nothing of them."""
  scores = np.array([[[300.0], [-40], [-41], [-42]], [[1], [2], [3], [4]]])
  membership = np.array([[True, True, False, False]] * 2)
  expected = (math.exp(-40) + (math.exp(-41) + math.exp(-42)) / 2) / 2
  assert base(scores, membership)[0, 0] == pytest.approx(-math.log(expected))


def test_ties_count_as_the_paper_counts_them():
  membership = np.tile([True, True, False, False], (5, 1))
  np.testing.assert_array_equal(rmia(np.zeros((5, 4, 1)), membership), 1.0)
  np.testing.assert_array_equal(base(np.zeros((5, 4, 1)), membership), 0.0)


def test_a_target_needs_one_reference_of_each_side():
  membership = np.array([[1, 1, 0], [0, 0, 1]], bool)
  scores = np.random.default_rng(2).normal(size=(2, 3, 1))
  for attack in (base, rmia):
    assert attack(scores, membership, target=0).shape == (2, 1)
    with pytest.raises(ValueError, match="row 0 has 2 members and 1"):
      attack(scores, membership)
  membership[:, 1:] = False
  assert offline_rmia(scores, membership, target=0).shape == (2, 1)
  with pytest.raises(ValueError, match="0 members and 2 non-members among the"):
    rmia(scores, membership, target=0)
  with pytest.raises(ValueError, match="at least 1 non-members needed"):
    offline_rmia(scores, ~membership, target=0)


@pytest.mark.parametrize("attack", ATTACKS)
def test_refuses_what_does_not_fit(attack):
  scores, membership = _drawn(paired)
  with pytest.raises(ValueError, match="do not match"):
    attack(scores[:, :, 0], membership)
  with pytest.raises(ValueError, match="not finite"):
    attack(scores * np.nan, membership)
  with pytest.raises(ValueError, match="target=8: 0 to 7 allowed"):
    attack(scores, membership, target=8)
  if attack is not base:
    with pytest.raises(ValueError, match="1 example: at least 2"):
      attack(scores[:1], membership[:1])


def test_refuses_another_a():
  scores, membership = _drawn(paired)
  with pytest.raises(ValueError, match=r"a=1\.5"):
    offline_rmia(scores, membership, 1.5)


@pytest.mark.parametrize("models", [4, 8])
@pytest.mark.parametrize("design", [paired, coins])
@pytest.mark.parametrize("attack", ATTACKS)
def test_are_not_above_chance_where_there_is_nothing(attack, design, models):
  tprs, aucs, bounds = [], [], []
  for seed in range(100):
    rng = np.random.default_rng([seed, models])
    membership = design(rng, 100, models)
    scores = rng.normal(0, 2, (100, 1, 1))
    scores = scores + rng.standard_t(3, (100, models, 1))
    result = attack(scores, membership)
    tprs.append(tpr_at_fpr(result, membership, 0.05))
    aucs.append(auc(result, membership))
    bounds.append(chance(0.05, membership))
  assert np.mean(tprs) <= np.mean(bounds) + 3 * np.std(tprs) / 10
  assert abs(np.mean(aucs) - 0.5) <= 3 * np.std(aucs) / 10


@pytest.mark.parametrize("attack", ATTACKS)
def test_find_what_there_is(attack):
  scores, membership = _drawn(paired, shape=(200, 16, 1))
  assert auc(
    attack(scores + membership[:, :, None], membership), membership
  ) > (0.8)


@pytest.mark.parametrize("attack", ATTACKS)
def test_are_fast(attack):
  rng = np.random.default_rng(0)
  membership = paired(rng, 500, 32)
  scores = rng.normal(size=(500, 32, 18))
  seconds = []
  for _ in range(3):
    start = time.process_time()
    attack(scores, membership)
    seconds.append(time.process_time() - start)
  print(f"{attack.__name__}, 500 x 32 x 18: {min(seconds):.3f} s")
  assert min(seconds) < 1
