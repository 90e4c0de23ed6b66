"""Shares of generators, and the votes they are counted from."""

import itertools
import math

import jax
import numpy as np
import pytest

from syndata_jax.evolution import allocation, iteration, selection
from syndata_jax.evolution.histogram import group
from syndata_jax.evolution.options import EvolutionOptions


def _raw(k):
  return 0.5 ** np.arange(k)


def _wasp(k, histograms=1):
  """The sensitivity to which WASP's published code calibrates its noise."""
  if k == 1:
    bound = 1.0
  elif k < 6:
    bound = 2 - 1 / (2 ^ (k - 1))  # exclusive or, as published
  else:
    bound = 2.0
  return bound * histograms


def _moved(k, num_bins, histograms=1):
  """How far one record moves the histograms at most, by brute force.

  Over every order of the bins it may vote in; the furthest are those that the
  order ends with.
  """
  longest = 0.0
  for order in itertools.permutations(range(num_bins), k):
    near = np.zeros(num_bins)
    near[list(order)] = _raw(k)
    far = np.zeros(num_bins)
    far[list(order[::-1])] = _raw(k)
    stacked = np.concatenate([near, far][:histograms])
    longest = max(longest, float(np.linalg.norm(stacked)))
  return longest


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 6])
def test_sensitivity_of_decaying_votes(k):
  moved = _moved(k, 6)
  assert moved == pytest.approx(math.sqrt((1 - 4.0**-k) / 0.75))
  assert moved <= 1.1548
  assert _moved(min(k, 4), 4, histograms=2) <= 1.6330
  # Ours are scaled by it: 1 in the relation of adding a record.
  ours = allocation.decaying_weights(k)
  np.testing.assert_allclose(ours, _raw(k) / moved)
  assert np.linalg.norm(ours) == pytest.approx(1)


def test_the_published_bound_is_none_or_not_tight():
  # Below what one record does: less private than stated.
  assert _wasp(4) == 1.0
  assert _moved(4, 5) == pytest.approx(1.1524, abs=1e-4)
  assert _moved(4, 5) > _wasp(4)
  # Not even a number.
  with pytest.raises(ZeroDivisionError):
    _wasp(3)
  # Not the L1 norm that was meant.
  assert _wasp(2) == pytest.approx(5 / 3) and _raw(2).sum() == 1.5
  # A bound of the wrong norm: far more noise than needed.
  assert _wasp(6) / _moved(6, 6) > 1.73
  assert _wasp(8, 2) / math.sqrt(2 * (1 - 4.0**-8) / 0.75) > 2.44


def test_replacing_a_record_moves_two_votes():
  weights = allocation.decaying_weights(3)
  moved = max(
    np.linalg.norm(
      np.bincount(one, weights, 6) - np.bincount(other, weights, 6)
    )
    for one in itertools.permutations(range(6), 3)
    for other in itertools.permutations(range(6), 3)
  )
  assert moved == pytest.approx(math.sqrt(2))


def test_decaying_votes_of_a_run():
  draw = np.random.default_rng(5)
  records, candidates = draw.normal(size=(40, 3)), draw.normal(size=(12, 3))
  options = EvolutionOptions(
    epsilon=math.inf, nearest=3, vote_weights="decaying"
  )
  labels = np.zeros(40, np.int32)
  noisy = iteration.voted(
    options,
    (12,),
    group(records, labels, 1),
    candidates.astype(np.float32),
    jax.random.key(0),
    np.float32(0),
  )
  expected = np.zeros(12)
  for record in records:
    order = np.argsort(np.linalg.norm(candidates - record, axis=1))
    expected[order[:3]] += np.array([4, 2, 1]) / math.sqrt(21)
  np.testing.assert_allclose(noisy, expected, rtol=1e-5)


def test_a_threshold_in_deviations_of_the_noise():
  options = EvolutionOptions(epsilon=1.0, threshold_deviations=2.0)
  assert options.level(3.0) == 6.0
  noisy = np.array([5.0, 7.0, 5.9, -1.0], np.float32)
  parents = selection.select(
    jax.random.key(0), noisy, (4,), 1, options, stddev=3.0
  )
  np.testing.assert_array_equal(parents, [1, 1, 1, 1])


def test_allocation_by_votes_a_sample():
  weights = np.array([3.0, 3, 3, 3, 1, 1], np.float32)
  source = np.array([0, 0, 0, 0, 1, 1])
  share = allocation.allocation(weights, source, 2, 0.0)
  np.testing.assert_allclose(share, [0.75, 0.25])  # 3 to 1, not 12 to 2
  share = allocation.allocation(weights, source, 2, 0.3)
  np.testing.assert_allclose(share, [0.6, 0.4], rtol=1e-6)
  share = allocation.allocation(np.zeros(6, np.float32), source, 3, 0.05)
  np.testing.assert_allclose(share, [1 / 3] * 3, rtol=1e-6)
  # Nothing of a generator is left: the floor brings it back.
  share = allocation.allocation(weights, source, 3, 0.05)
  assert share[2] == pytest.approx(0.05) and share.sum() == pytest.approx(1)


def _expected(shares, size):
  """Hamilton's method, in exact order."""
  exact = np.asarray(shares, np.float64) * size
  count = np.floor(exact).astype(int)
  order = np.argsort(-np.round(exact - count, 4), kind="stable")
  count[order[: size - count.sum()]] += 1
  return count


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 20, 999])
def test_largest_remainder(size):
  draw = np.random.default_rng(size)
  for _ in range(10):
    shares = draw.dirichlet(np.ones(3)).astype(np.float32)
    count = np.asarray(allocation.largest_remainder(shares, size))
    assert count.sum() == size
    expected = _expected(shares, size)
    if size >= 3 and not expected.all():
      assert (count >= 1).all()
      expected = np.maximum(expected, 1)
      expected[np.argmax(expected)] -= expected.sum() - size
      assert np.abs(count - expected).sum() <= 2
    else:
      np.testing.assert_array_equal(count, expected)


def test_reassigned_counts_in_every_class():
  draw = np.random.default_rng(3)
  labels = np.repeat([0, 1, 3], [10, 7, 23]).astype(np.int32)
  source = draw.integers(0, 3, 40).astype(np.int32)
  shares = np.array([0.6, 0.3, 0.1], np.float32)
  present = np.ones((40, 3), bool)
  target = np.asarray(allocation.reassigned(source, labels, shares, present))
  for label in (0, 1, 3):
    rows = labels == label
    count = np.bincount(target[rows], minlength=3)
    np.testing.assert_array_equal(count, _expected(shares, rows.sum()))
    # As few as possible change.
    had = np.bincount(source[rows], minlength=3)
    changed = (target[rows] != source[rows]).sum()
    assert changed == np.maximum(count - had, 0).sum()
  # A generator without a sample of the class is given none of it.
  present[labels == 1, 0] = False
  target = np.asarray(allocation.reassigned(source, labels, shares, present))
  np.testing.assert_array_equal(
    np.bincount(target[labels == 1], minlength=3), _expected([0, 0.75, 0.25], 7)
  )


def test_drawn_by_weight_within_a_group():
  groups = np.array([2, 0, 2, 0, 2, 5])
  weights = np.array([1.0, 0, 3, 0, 0, 4], np.float32)
  wanted = np.repeat([0, 2, 5], 4000)
  rows = np.asarray(
    allocation.drawn(jax.random.key(0), wanted, groups, weights)
  )
  assert (groups[rows] == wanted).all()
  share = np.bincount(rows, minlength=6) / 4000
  np.testing.assert_allclose(share, [0.25, 0.5, 0.75, 0.5, 0, 1], atol=0.03)
  present = allocation.has_members(np.array([[0, 1], [2, 5]]), groups)
  np.testing.assert_array_equal(present, [[True, False], [True, True]])
