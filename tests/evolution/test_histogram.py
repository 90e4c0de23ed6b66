"""Votes against all distances in float64; sensitivity and noise."""

import functools
import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from variants import others_slow

from syndata_jax.errors import UserError
from syndata_jax.evolution import histogram, nearest
from syndata_jax.evolution.histogram import group, noisy_votes, votes
from syndata_jax.privacy.discrete_gaussian import noise_table


def _loop(private, synthetic, weights, metric="l2"):
  """Every pair in float64; of equally near ones the first row."""
  total = np.zeros(len(synthetic))
  share = np.asarray(weights, np.float64)
  share = share / np.linalg.norm(share)
  for record in private.astype(np.float64):
    rows = synthetic.astype(np.float64)
    if metric == "l2":
      far = ((rows - record) ** 2).sum(axis=1)
    else:
      length = np.linalg.norm(rows, axis=1) * np.linalg.norm(record)
      far = 1 - rows @ record / np.where(length > 0, length, 1)
    order = np.argsort(far, kind="stable")[: len(share)]
    total[order] += share
  return total


@pytest.mark.parametrize(
  "metric, k",
  others_slow([("l2", 1), ("cosine", 3), ("l2", 3), ("cosine", 1)], default=2),
)
def test_against_all_distances(metric, k, monkeypatch):
  """Several tiles either way, the last of each not full; a row of zeros."""
  monkeypatch.setattr(nearest, "_TILE", 32)
  draw = np.random.default_rng(k)
  private = draw.normal(3, 1, (103, 5)).astype(np.float32)
  synthetic = draw.normal(3, 1, (75, 5)).astype(np.float32)
  private[4] = synthetic[7] = 0
  ours = votes.__wrapped__(private, synthetic, k, metric)
  expected = _loop(private, synthetic, np.ones(k), metric)
  np.testing.assert_allclose(ours, expected, rtol=1e-6)


@pytest.mark.parametrize("k", others_slow([2, 1, 4]))
def test_ties_go_to_the_first_rows(k):
  """On a grid of whole numbers most distances are tied."""
  draw = np.random.default_rng(k)
  private = draw.integers(0, 3, (80, 3)).astype(np.float32)
  synthetic = draw.integers(0, 3, (70, 3)).astype(np.float32)
  ours = votes(private, synthetic, k)
  np.testing.assert_allclose(
    ours, _loop(private, synthetic, np.ones(k)), rtol=1e-6
  )


def test_copies_of_a_candidate_share_nothing():
  draw = np.random.default_rng(0)
  one = draw.normal(size=(1, 30)).astype(np.float32)
  private = one + 1e-3 * draw.normal(size=(20, 30)).astype(np.float32)
  synthetic = np.concatenate([one + 5, np.repeat(one, 60, axis=0)])
  assert np.flatnonzero(votes(private, synthetic)).tolist() == [1]


def test_weights_are_made_unit_length():
  draw = np.random.default_rng(0)
  private = draw.normal(size=(40, 4)).astype(np.float32)
  synthetic = draw.normal(size=(20, 4)).astype(np.float32)
  weights = np.array([4.0, 2.0, 1.0])
  ours = votes(private, synthetic, 3, weights=weights)
  expected = _loop(private, synthetic, weights)
  np.testing.assert_allclose(ours, expected, rtol=1e-5)
  alone = votes(private[:1], synthetic, 3, weights=weights)
  assert np.linalg.norm(alone) == pytest.approx(1, rel=1e-6)


def test_a_candidate_that_is_not_finite_has_no_vote():
  private = np.zeros((3, 2), np.float32)
  synthetic = np.array([[np.nan, 0], [9, 9], [np.inf, 0]], np.float32)
  assert votes(private, synthetic).tolist() == [0, 3, 0]


@pytest.mark.parametrize(
  "shapes, arguments, message",
  [
    (((2, 3), (4, 3)), {"k": 5}, "k=5: must be at most 4"),
    (((2, 3), (4, 3)), {"k": 0}, "k=0: must be"),
    (((2, 3), (4, 3)), {"metric": "l1"}, "metric='l1': must be one of"),
    (((2, 3), (4, 2)), {}, r"private \(2, 3\) and synthetic \(4, 2\)"),
    (
      ((2, 3), (4, 3)),
      {"k": 2, "weights": np.ones(3)},
      r"weights \(3,\): must be \(2,\)",
    ),
  ],
)
def test_refusals(shapes, arguments, message):
  with pytest.raises(UserError, match=message):
    votes(*map(np.zeros, shapes), **arguments)


# One shape for all examples, so that one program is compiled.
SIZES = (6, 0, 10)
_clean = jax.jit(
  functools.partial(noisy_votes, sizes=SIZES, stddev=0.0),
  static_argnames=("k", "metric"),
)


def _grouped(points, labels, members=None):
  return group(points, labels, 3, tile=4, members=members)


@settings(max_examples=40, deadline=None)
@given(
  st.integers(0, 2**32 - 1),
  st.integers(0, 19),
  st.integers(0, 2),
  st.sampled_from([1, 3]),
)
def test_a_record_moves_the_votes_by_at_most_one(seed, row, label, k):
  """Added or removed by 1, replaced by sqrt(2): in any class, near or far."""
  draw = np.random.default_rng(seed)
  points = draw.integers(-2, 3, (20, 2)).astype(np.float32)
  labels = draw.integers(0, 3, 20).astype(np.int32)
  candidates = draw.integers(-2, 3, (sum(SIZES), 2)).astype(np.float32)
  key = jax.random.key(0)

  def clean(points, labels, members):
    records = _grouped(points, labels, members)
    return np.asarray(_clean(key, records, candidates, k=k), np.float64)

  everyone = np.arange(20)
  whole = clean(points, labels, everyone)
  without = clean(points, labels, np.delete(everyone, row)[:19])
  assert np.linalg.norm(whole - without) <= 1 + 1e-6
  moved, relabelled = points.copy(), labels.copy()
  moved[row], relabelled[row] = draw.normal(0, 9, 2), label
  replaced = clean(moved, relabelled, everyone)
  assert np.linalg.norm(whole - replaced) <= math.sqrt(2) + 1e-6


def test_a_record_votes_within_its_class():
  draw = np.random.default_rng(0)
  points = draw.normal(size=(60, 3)).astype(np.float32)
  labels = draw.integers(0, 3, 60).astype(np.int32)
  candidates = draw.normal(size=(sum(SIZES), 3)).astype(np.float32)
  records = _grouped(points, labels)
  ours = np.asarray(_clean(jax.random.key(0), records, candidates))
  parts = [
    _loop(points[labels == 0], candidates[:6], [1]),
    _loop(points[labels == 2], candidates[6:], [1]),
  ]
  np.testing.assert_array_equal(ours, np.concatenate(parts))


def test_shapes_do_not_depend_on_the_classes():
  points = np.zeros((50, 2), np.float32)
  shapes = set()
  for labels in (np.zeros(50, int), np.arange(50) % 3, np.full(50, 2)):
    records = group(points, labels, 3, tile=8)
    shapes.add((records.rows.shape, records.classes.shape))
    used = records.rows[records.rows >= 0]
    assert sorted(used.tolist()) == list(range(50))
    for rows, label in zip(records.rows, records.classes, strict=True):
      assert (labels[rows[rows >= 0]] == label).all()
  assert shapes == {((10, 8), (10,))}


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0]])
def test_labels_beyond_the_classes_are_refused(labels):
  with pytest.raises(UserError, match=r"labels: must be in \[0, 2\]"):
    group(np.zeros((2, 2), np.float32), np.array(labels), 3)


def _noisy(key, records, candidates, sizes, stddev, **options):
  program = jax.jit(
    lambda key, noise: noisy_votes(
      key, records, candidates, sizes, noise, **options
    )
  )
  keys = [jax.random.fold_in(key, i) for i in range(40)]
  return np.stack([np.asarray(program(key, stddev)) for key in keys])


def test_every_bin_has_gaussian_noise():
  """Bins of a class without records, and those nobody is near to, too."""
  sizes = (60, 40)
  draw = np.random.default_rng(0)
  candidates = draw.normal(size=(100, 2)).astype(np.float32)
  points = np.repeat(candidates[:1], 30, axis=0)
  records = group(points, np.zeros(30, int), 2)
  noisy = _noisy(jax.random.key(0), records, candidates, sizes, 2.5, k=2)
  clean = _noisy(jax.random.key(0), records, candidates, sizes, 0.0, k=2)[0]
  assert (clean > 0).sum() == 2
  noise = (noisy - clean) / 2.5
  for part in (noise[:, clean > 0], noise[:, 1:60], noise[:, 60:], noise):
    assert stats.kstest(part.ravel(), "norm").pvalue > 1e-3
  # Each bin and each release has noise of its own.
  correlations = np.corrcoef(noise.T) - np.eye(100)
  assert np.abs(correlations).max() < 0.75
  assert len(np.unique(noise)) == noise.size


def test_every_bin_has_discrete_noise():
  sizes = (50, 30)
  draw = np.random.default_rng(0)
  candidates = draw.normal(size=(80, 2)).astype(np.float32)
  records = group(candidates[:20], np.zeros(20, int), 2)
  deviation = 3 * math.sqrt(2)
  whole = [
    math.sqrt(2)
    * _noisy(
      jax.random.key(1), records, candidates, sizes, table, k=2, discrete=True
    )
    for table in (noise_table(deviation), noise_table(0.0))
  ]
  for votes_of_all in whole:
    np.testing.assert_allclose(votes_of_all, votes_of_all.round(), atol=1e-4)
  noise = whole[0] - whole[1]
  assert (noise.std(axis=0) > 2).all()
  assert noise.std() == pytest.approx(deviation, rel=0.03)


def test_noise_of_another_size_is_another_draw():
  """Two histograms under one key cannot be solved for the votes."""
  candidates = np.zeros((50, 1), np.float32)
  records = group(np.zeros((1, 1), np.float32), np.zeros(1, int), 1)
  draw = jax.jit(
    lambda stddev: noisy_votes(
      jax.random.key(0), records, candidates, (50,), stddev
    )
  )
  one, same, other = draw(1.0), draw(1.0), draw(2.0)
  np.testing.assert_array_equal(one, same)
  assert abs(np.corrcoef(one[1:], other[1:])[0, 1]) < 0.5


def test_tiles_follow_from_public_numbers():
  assert histogram.tile_size(900, 10) == 32
  assert histogram.tile_size(50_000, 10) == 512
  assert histogram.tile_size(8, 10) == 32
