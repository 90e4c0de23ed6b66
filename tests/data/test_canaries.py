"""Planted images, and real images from elsewhere."""

import numpy as np
import pytest

from syndata_jax.data import make_split, outside_images, plant
from syndata_jax.errors import UserError

POOL = np.random.default_rng(0).integers(0, 256, (40, 6, 7, 3), dtype=np.uint8)


def split_of(num_canaries=10):
  return make_split(np.arange(40) % 4, num_canaries, 4, 4, "clean", 0)


@pytest.mark.parametrize("kind", ["mislabelled", "clean"])
def test_kinds_that_keep_their_image(kind):
  pool = POOL.copy()
  planted = plant(pool, split_of(), kind, 0)
  np.testing.assert_array_equal(planted, POOL)
  # No copy, but no way either to change the pool through it.
  assert np.shares_memory(planted, pool)
  with pytest.raises(ValueError, match="read-only"):
    planted[0] = 0
  pool[0] += 1  # the caller's own array stays writeable


def test_blank_canaries_are_one_colour_and_a_prefix():
  before = POOL.copy()
  split, few = split_of(20), split_of(4)
  planted = plant(POOL, split, "blank", 0)
  np.testing.assert_array_equal(POOL, before)
  blanks = planted[split.canary_index]
  assert (blanks == blanks[:, :1, :1]).all()
  assert len(np.unique(blanks[:, 0, 0], axis=0)) == 20
  rest = np.setdiff1d(np.arange(40), split.canary_index)
  np.testing.assert_array_equal(planted[rest], POOL[rest])
  smaller = plant(POOL, few, "blank", 0)
  np.testing.assert_array_equal(smaller[few.canary_index], blanks[:4])


def test_outside_images_are_planted_in_order():
  split, outside = split_of(), outside_images(12, (6, 7, 3), 0)
  before = POOL.copy()
  planted = plant(POOL, split, "out_of_distribution", 0, outside)
  np.testing.assert_array_equal(POOL, before)
  np.testing.assert_array_equal(planted[split.canary_index], outside[:10])


@pytest.mark.parametrize("outside", [None, POOL[:9], POOL[:10, :5]])
def test_outside_images_must_fit(outside):
  with pytest.raises(UserError, match="must"):
    plant(POOL, split_of(), "out_of_distribution", 0, outside)


def test_an_unknown_kind_is_refused():
  with pytest.raises(UserError, match="canary_kind='odd': must be one of"):
    plant(POOL, split_of(), "odd", 0)


@pytest.mark.parametrize("shape", [(8, 8, 1), (32, 32, 3), (20, 90, 3)])
def test_photographs_are_real_different_and_a_prefix(shape):
  images = outside_images(12, shape, 5)
  assert images.shape == (12, *shape)
  assert images.dtype == np.uint8
  assert len(np.unique(images.reshape(12, -1), axis=0)) == 12
  np.testing.assert_array_equal(outside_images(4, shape, 5), images[:4])
  assert images.std() > 10


def test_another_data_set_is_resized():
  images = outside_images(6, (12, 10, 3), 0, source="digits")
  assert images.shape == (6, 12, 10, 3)
  assert (images == images[..., :1]).all()
  few = outside_images(2, (12, 10, 3), 0, source="digits")
  np.testing.assert_array_equal(few, images[:2])


@pytest.mark.parametrize(
  ("count", "shape", "source", "message"),
  [
    (2, (8, 8, 2), "photographs", "shape="),
    (-1, (8, 8, 1), "photographs", "count=-1"),
    (2000, (8, 8, 1), "digits", "count=2000: must be at most 1437"),
    (1, (8, 8, 1), "moon", "dataset='moon': must be one of"),
  ],
)
def test_impossible_outside_images(count, shape, source, message):
  with pytest.raises(UserError, match=message):
    outside_images(count, shape, 0, source)
