"""The pool: draws without repetition, walks to the nearest images alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from syndata_jax.errors import UserError
from syndata_jax.evolution import apis
from syndata_jax.evolution.apis import ApiOptions, pool

KEY = jax.random.key(0)
SIZES, COUNT, CLASSES, NEAR = (5, 9, 14), 28, 3, 6


def images(count=COUNT, seed=0):
  random = np.random.default_rng(seed)
  return random.integers(0, 256, (count, 4, 4, 1), dtype=np.uint8)


def pool_labels():
  """Classes of the images, mixed."""
  order = np.random.default_rng(1).permutation(COUNT)
  return np.repeat(np.arange(CLASSES), SIZES)[order]


def make(labelled=True):
  labels = pool_labels() if labelled else None
  return pool.from_arrays(images(), labels, CLASSES, NEAR)


def label_of(api, rows):
  """Classes of rows of the pool, found by their pixels."""
  by_pixels = {
    image.tobytes(): label
    for image, label in zip(images(), pool_labels(), strict=True)
  }
  drawn = np.asarray(api.render(rows))
  return np.array([by_pixels[image.tobytes()] for image in drawn])


@pytest.mark.slow
def test_draws_are_of_the_class_and_none_comes_again_too_soon():
  """Of ten samples of a class of five images each comes twice."""
  api = make()
  labels = jnp.repeat(jnp.arange(CLASSES), 10)
  rows = np.asarray(jax.jit(api.random)(KEY, labels))
  np.testing.assert_array_equal(label_of(api, rows), labels)
  for label, size in enumerate(SIZES):
    counts = np.bincount(rows[labels == label])
    assert set(counts[counts > 0]) <= {10 // size, -(-10 // size)}
    assert (counts > 0).sum() == min(size, 10)
  other = jax.jit(api.random)(jax.random.key(1), labels)
  assert (rows != other).any()


def test_every_image_is_drawn_equally_often():
  api = make(labelled=False)
  labels = jnp.zeros(7, int)
  draw = jax.jit(jax.vmap(api.random, (0, None)))
  rows = np.asarray(draw(jax.random.split(KEY, 600), labels))
  counts = np.bincount(rows.ravel(), minlength=COUNT)
  expected = 600 * 7 / COUNT
  assert abs(counts - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.parametrize("labelled", [True, False])
def test_walks_reach_the_nearest_of_the_group_and_all_of_them(labelled):
  """Against distances by hand in float64, for four degrees."""
  api = make(labelled)
  flat = api.images.reshape(len(api.images), -1).astype(float)
  gaps = np.linalg.norm(flat[:, None] - flat, axis=-1)
  labels = label_of(api, np.arange(len(flat)))
  if labelled:
    gaps[labels[:, None] != labels] = np.inf
  np.fill_diagonal(gaps, -1)
  walk = jax.jit(jax.vmap(api.variation, (0, None, None, None)))
  rows = jnp.arange(len(flat))
  keys = jax.random.split(KEY, 300)
  for degree in (0.0, 0.34, 1.0):
    reached = np.asarray(walk(keys, rows, jnp.asarray(labels), degree))
    for row in rows:
      group = np.isfinite(gaps[row]).sum()
      others = min(NEAR, group - 1)
      nearest = np.argsort(gaps[row])[: 1 + round(degree * others)]
      assert set(reached[:, row]) == set(nearest)
  left = walk(keys[:1], rows, jnp.asarray(labels), 0.0)[0]
  np.testing.assert_array_equal(left, rows)


def test_a_copy_is_not_taken_for_the_image_itself():
  doubled = np.concatenate([images(6), images(6)])
  api = pool.from_arrays(doubled, None, 2, 1)
  np.testing.assert_array_equal(api.neighbours[:, 0], np.arange(12))
  np.testing.assert_array_equal(api.neighbours[:, 1], (np.arange(12) + 6) % 12)


def test_neighbours_by_an_embedding():
  """On a line, whatever the pixels are."""
  line = np.array([[3.0], [0.0], [1.0], [10.0]])
  api = pool.from_arrays(images(4), None, 1, 2, line)
  expected = [[0, 2, 1], [1, 2, 0], [2, 1, 0], [3, 0, 2]]
  np.testing.assert_array_equal(api.neighbours, expected)


@pytest.mark.slow
def test_a_source_by_name():
  """Photographs have no classes of their own: every class draws any."""
  options = ApiOptions(pool_crops=3, pool_neighbours=2)
  api = apis.create("pool", (4, 4, 1), CLASSES, options)
  assert api.images.shape == (9, 4, 4, 1) and api.neighbours.shape == (9, 3)
  rows = api.random(KEY, jnp.zeros(9, int))
  np.testing.assert_array_equal(np.sort(rows), np.arange(9))
  assert "photographs" in api.public[0]
  other = ApiOptions(pool="digits", pool_labels=False)
  assert apis.create("pool", (4, 4, 3), 7, other).images.shape[1:] == (4, 4, 3)


def test_private_images_in_the_pool_are_refused():
  api = make()
  apis.refuse_private(api, images(5, seed=9))
  with pytest.raises(UserError, match="holds 2 of the private images"):
    apis.refuse_private(api, np.concatenate([images(2), images(5, seed=9)]))


@pytest.mark.parametrize(
  ("count", "labels", "expected"),
  [
    (0, None, "pool: has no images"),
    (3, [0, 0, 2], r"has images of classes \[0, 2\]: must have some of each"),
    (3, [0, 1, 5], "must have some of each of 0 to 2 and no others"),
  ],
)
def test_a_pool_that_has_not_every_class(count, labels, expected):
  with pytest.raises(UserError, match=expected):
    pool.from_arrays(
      images(count), None if labels is None else np.array(labels), CLASSES, 2
    )


def test_more_neighbours_than_can_be_found():
  with pytest.raises(UserError, match=r"pool_neighbours=1000: must be in"):
    pool.from_arrays(images(), None, CLASSES, 1000)
