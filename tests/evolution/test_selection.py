"""Selection reads the noisy histogram alone; its three rules."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from evolution_small import OPTIONS
from variants import others_slow

from syndata_jax.evolution import geometry
from syndata_jax.evolution.selection import kept_votes, select, shares


def _select(noisy, sizes, fold=1, seed=0, embeddings=None, stddev=0.0, **rest):
  options = dataclasses.replace(OPTIONS, **rest)
  rows = select(
    jax.random.key(seed),
    jnp.asarray(noisy, jnp.float32),
    sizes,
    fold,
    options,
    embeddings,
    stddev,
  )
  return np.asarray(rows)


def test_sampling_follows_the_votes_above_the_threshold():
  noisy = np.array([5.0, 1.0, 3.0, -4.0, 2.0, 0.0, 9.0, 7.0])
  counts = np.zeros(8)
  for seed in range(60):
    rows = _select(np.tile(noisy, 1), (4, 4), seed=seed, threshold=1.0)
    assert (rows[:4] < 4).all() and (rows[4:] >= 4).all()
    counts += np.bincount(rows, minlength=8)
  assert (counts[[1, 3, 5]] == 0).all()
  share = counts / 240
  expected = [4 / 6, 0, 2 / 6, 0, 1 / 15, 0, 8 / 15, 6 / 15]
  np.testing.assert_allclose(share, expected, atol=0.1)


def test_a_class_below_the_threshold_falls_back_by_its_noisy_votes():
  bins = np.array([[1.0, 3.0, -2.0], [-1.0, -5.0, -2.0], [9.0, 1.0, 0.0]])
  real = np.array([[True] * 3, [True, True, False], [True] * 3])
  weights = shares(jnp.asarray(bins), real, (5.0,))
  expected = [[1, 3, 0], [1, 1, 0], [4, 0, 0]]
  np.testing.assert_array_equal(weights, expected)


def test_what_is_inherited_is_thresholded():
  left = kept_votes(jnp.array([-1.0, 2.0, 5.0]), 3.0)
  assert left.tolist() == [0, 0, 2]


def test_rank_takes_the_largest_of_each_class():
  noisy = np.array([1.0, 4, 2, 3, 9, 8, 7, 7])
  rows = _select(noisy, (2, 2), 2, selection="rank", keep_selected=True)
  assert rows.tolist() == [1, 3, 4, 5]


def test_classes_of_other_sizes_and_an_empty_one():
  draw = np.random.default_rng(0)
  for selection in ("sample", "rank", "geometry"):
    rows = _select(
      draw.uniform(1, 2, 18),
      (5, 0, 1),
      3,
      embeddings=jnp.asarray(draw.normal(size=(18, 2)), jnp.float32),
      selection=selection,
      keep_selected=True,
    )
    assert rows.shape == (6,)
    assert (rows[:5] < 15).all() and 15 <= rows[5] < 18


def _clusters():
  """One cluster of many votes, two small ones that stand out, and noise."""
  draw = np.random.default_rng(0)
  points = np.concatenate(
    [
      draw.normal([0, 0], 0.1, (40, 2)),
      draw.normal([9, 0], 0.1, (3, 2)),
      draw.normal([0, 9], 0.1, (2, 2)),
      draw.uniform(-20, 20, (55, 2)),
    ]
  )
  votes = np.concatenate([np.full(40, 90.0), np.full(5, 12.0), np.zeros(55)])
  noisy = votes + draw.normal(0, 1, 100)
  return points.astype(np.float32), noisy


def test_geometry_keeps_small_clusters():
  points, noisy = _clusters()
  lost = 0
  for seed in range(8):
    rows = _select(
      noisy[:100], (10,), 10, seed, points, 1.0, selection="sample"
    )
    lost += not ((rows >= 40) & (rows < 43)).any()
  assert lost  # there is something to keep
  rows = _select(noisy, (10,), 10, 0, points, 1.0, selection="geometry")
  assert ((rows >= 40) & (rows < 43)).any()
  assert ((rows >= 43) & (rows < 45)).any()
  # Noise has no parent, and the large cluster has most of them.
  assert (rows < 45).all() and (rows < 40).sum() >= 5


@pytest.mark.slow
def test_geometry_gives_each_that_stands_out_a_parent_if_there_are_enough():
  points, noisy = _clusters()
  rows = _select(noisy, (50,), 2, 0, points, 1.0, selection="geometry")
  assert set(rows) == set(range(45))


@pytest.mark.slow
@pytest.mark.parametrize("count", others_slow([3, 1, 2]))
def test_geometry_places_few_parents_where_the_cost_is_least(count):
  """Against all choices of so many bins."""
  draw = np.random.default_rng(count)
  points = draw.normal(size=(9, 2)).astype(np.float32)
  demand = draw.uniform(1, 9, 9).astype(np.float32)
  place = jax.jit(geometry.parents, static_argnums=0)
  rows = place(count, points, demand, count)
  gaps = np.linalg.norm(points[:, None] - points, axis=-1)
  cost = lambda chosen: demand @ gaps[:, list(chosen)].min(axis=1)
  best = min(map(cost, itertools.combinations(range(9), count)))
  assert cost(np.asarray(rows)) <= 1.02 * best
