"""Copies that were planted, and images that nobody copied."""

import numpy as np
import pytest
from scipy import stats

from syndata_jax.images import near_copies
from syndata_jax.images.near_copies import Members

N, D = 400, 24


@pytest.fixture
def pool():
  """Private images in some space, the first 300 of them of the model."""
  return np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)


@pytest.fixture
def members():
  """The last 50 members are audited, as are as many that are none."""
  rows = np.arange(300, dtype=np.int32)
  return Members(rows, rows[250:], np.arange(300, 350, dtype=np.int32))


def _new(count, seed):
  random = np.random.default_rng(seed)
  return random.normal(size=(count, D)).astype(np.float32)


def test_planted_copies_are_found_and_new_images_are_not(pool, members):
  heldout = _new(200, 1)
  (distances,) = near_copies.heldout_distances(
    heldout, pool, members.rows[None]
  )
  threshold = near_copies.threshold(distances)
  images = _new(100, 2)
  images[0] = pool[7]  # exactly
  images[1] = pool[260] + 0.02 * _new(1, 3)[0]  # nearly, an audited one
  images[2] = pool[320]  # a copy of what the model does not own
  of_one = near_copies.nearness(images, pool, members)
  assert of_one.row[:2].tolist() == [7, 260]
  assert of_one.distance[0] == 0
  near = np.flatnonzero(of_one.distance < threshold)
  assert {0, 1} <= set(near) and 2 not in near and len(near) <= 5
  np.testing.assert_array_equal(np.flatnonzero(of_one.ratio < 1), [0, 1])
  shares = near_copies.shares(of_one, threshold)
  assert shares["near_copies"] == pytest.approx(len(near) / 100)
  assert shares["stands_out"] == 0.02
  for figure, distance, copy in (
    ("near_copies_of_members", of_one.to_owned, 1),
    ("near_copies_of_nonmembers", of_one.to_others, 2),
  ):
    near = np.flatnonzero(distance < threshold)
    assert copy in near and not {0, 1, 2} - {copy} & set(near)
    assert shares[figure] == pytest.approx(len(near) / 100)
    assert len(near) <= 3


def test_nearness_against_loops(pool, members):
  images = _new(9, 4)
  of_one = near_copies.nearness(images, pool, members)
  distances = np.linalg.norm(images[:, None] - pool, axis=-1)
  own = np.sort(distances[:, :300], axis=1)
  np.testing.assert_allclose(of_one.distance, own[:, 0], rtol=1e-5)
  np.testing.assert_array_equal(of_one.row, distances[:, :300].argmin(axis=1))
  ratio = own[:, 0] / (0.5 * own[:, :50].mean(axis=1))
  np.testing.assert_allclose(of_one.ratio, ratio, rtol=1e-5)
  np.testing.assert_allclose(
    of_one.to_owned, distances[:, 250:300].min(axis=1), rtol=1e-5
  )
  np.testing.assert_allclose(
    of_one.to_others, distances[:, 300:350].min(axis=1), rtol=1e-5
  )
  np.testing.assert_allclose(
    near_copies.stands_out(images, pool[:300]), ratio, rtol=1e-5
  )


def test_without_copying_half_are_nearer_to_members(pool, members):
  """Exactly on average: with the two sides exchanged the shares add to 1."""
  images = _new(50, 5)
  exchanged = members._replace(owned=members.others, others=members.owned)
  total = sum(
    near_copies.shares(near_copies.nearness(images, pool, each), 0.1)[
      "nearer_to_members"
    ]
    for each in (members, exchanged)
  )
  assert total == pytest.approx(1)


def test_the_threshold_passes_the_share_that_is_expected():
  """Of new real images, over many draws of the held-out ones."""
  random = np.random.default_rng(6)
  for heldout in (5, 150):
    draws = random.exponential(size=(20_000, heldout + 1))
    passed = [each[0] < near_copies.threshold(each[1:]) for each in draws]
    want = near_copies.expected(heldout)
    error = 5 * np.sqrt(want * (1 - want) / 20_000)
    assert np.mean(passed) == pytest.approx(want, abs=error)
  assert near_copies.expected(150) == pytest.approx(2 / 151)
  assert near_copies.expected(0) == near_copies.threshold(np.zeros(0)) == 0


def test_heldout_distances_of_several_models(pool):
  """Rows of all models, of some, and of none."""
  random = np.random.default_rng(7)
  common = np.arange(100)
  members = np.stack(
    [
      np.sort(np.append(common, 100 + random.permutation(100)[:50]))
      for _ in range(3)
    ]
  ).astype(np.int32)
  heldout = _new(20, 8)
  got = near_copies.heldout_distances(heldout, pool, members)
  distances = np.linalg.norm(heldout[:, None] - pool, axis=-1)
  want = [distances[:, rows].min(axis=1) for rows in members]
  np.testing.assert_allclose(got, want, rtol=1e-5)


def test_both_sides_have_as_many_of_each_population():
  rows = np.arange(10, dtype=np.int32)
  owns = np.array([1, 1, 1, 1, 1, 1, 1, 0, 0, 0], bool)
  members = near_copies.equal_numbers(
    rows, (rows + 20, owns), (rows[:4] + 40, ~owns[6:])
  )
  assert members.owned.tolist() == [20, 21, 22, 41]
  assert members.others.tolist() == [27, 28, 29, 40]


def test_the_interval_is_students():
  values = [0.1, 0.3, 0.2, 0.25]
  figures = near_copies.over_models([{"x": value} for value in values])["x"]
  low, high = stats.t.interval(
    0.95, 3, np.mean(values), stats.sem(np.array(values))
  )
  assert figures["value"] == pytest.approx(np.mean(values))
  assert (figures["low"], figures["high"]) == pytest.approx((low, high))
  single = near_copies.over_models([{"x": 0.3}])["x"]
  assert single == {"value": 0.3, "low": 0.0, "high": 1.0}
