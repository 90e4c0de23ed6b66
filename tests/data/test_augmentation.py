"""Augmentation against loops over pixels, and the law of its draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from syndata_jax.data import augmentation


def moved(image, dy, dx, mirrored):
  result = np.zeros_like(image)
  height, width = image.shape[:2]
  for y in range(height):
    for x in range(width):
      if 0 <= y + dy < height and 0 <= x + dx < width:
        result[y + dy, x + dx] = image[y, x]
  return result[:, ::-1] if mirrored else result


def pool_of(count, shape=(8, 7, 3)):
  # No pixel is 0, so a black one was shifted in.
  random = np.random.default_rng(0)
  return random.integers(1, 256, (count, *shape), dtype=np.uint8)


def test_shift_sizes():
  assert [augmentation.shift_size(h) for h in (32, 28, 8, 7)] == [4, 3, 1, 0]


@pytest.mark.parametrize(
  ("shift", "flip", "count"),
  [(2, True, 18), (2, False, 9), (0, True, 2), (0, False, 1)],
)
def test_views_in_their_order(shift, flip, count):
  images = pool_of(3)
  views = augmentation.audit_views(jnp.asarray(images), shift, flip)
  steps = (0, -shift, shift) if shift else (0,)
  expected = [
    [
      moved(image, -dy, -dx, mirrored)
      for mirrored in ((False, True) if flip else (False,))
      for dy in steps
      for dx in steps
    ]
    for image in images
  ]
  assert views.shape == (3, count, 8, 7, 3)
  assert views.dtype == jnp.uint8
  np.testing.assert_array_equal(views, expected)
  np.testing.assert_array_equal(views[:, 0], images)


@pytest.mark.parametrize("flip", [False, True])
def test_each_image_of_a_batch_is_one_shift_then_one_flip(flip):
  pool, index = pool_of(5), np.tile(np.arange(5, dtype=np.int32), 8)
  batch = augmentation.gather_augmented(
    jax.random.key(0), jnp.asarray(pool), jnp.asarray(index), 2, flip
  )
  assert batch.dtype == jnp.uint8
  seen = set()
  for image, row in zip(np.asarray(batch), index, strict=True):
    matches = [
      (dy, dx, mirrored)
      for dy in range(-2, 3)
      for dx in range(-2, 3)
      for mirrored in (False, True)
      if np.array_equal(image, moved(pool[row], dy, dx, mirrored))
    ]
    assert len(matches) == 1
    seen.add(matches[0])
  assert len(seen) > 10
  assert {mirrored for *_, mirrored in seen} == ({False, True} if flip else {0})


def test_shifts_and_flips_are_uniform_and_independent():
  image, count = pool_of(1, (3, 4, 1)), 18_000
  batch = np.asarray(
    augmentation.gather_augmented(
      jax.random.key(1), jnp.asarray(image), jnp.zeros(count, int), 1, True
    )
  )
  counts = [
    (batch == moved(image[0], dy, dx, mirrored)).all((1, 2, 3)).sum()
    for mirrored in (False, True)
    for dy in (-1, 0, 1)
    for dx in (-1, 0, 1)
  ]
  assert sum(counts) == count
  assert scipy.stats.chisquare(counts).pvalue > 1e-4


def test_without_shift_and_flip_it_is_a_take():
  pool, index = jnp.asarray(pool_of(9)), jnp.array([8, 0, 0, 3])
  run = jax.make_jaxpr(
    lambda key: augmentation.gather_augmented(key, pool, index, 0, False)
  )(jax.random.key(0))
  assert "random" not in str(run)
  batch = augmentation.gather_augmented(
    jax.random.key(0), pool, index, 0, False
  )
  np.testing.assert_array_equal(batch, pool[index])


def test_in_a_scan_over_steps_and_a_vmap_over_models_as_alone():
  pool = jnp.asarray(pool_of(6))
  keys = jax.random.split(jax.random.key(2), (2, 3))
  index = jax.random.randint(jax.random.key(3), (2, 3, 4), 0, 6)

  @jax.jit
  def one(key, rows):
    return augmentation.gather_augmented(key, pool, rows, 2, True)

  def step(carry, draws):
    return carry, jax.vmap(one)(*draws)

  _, together = jax.jit(lambda: jax.lax.scan(step, 0, (keys, index)))()
  for t in range(2):
    for model in range(3):
      alone = one(keys[t, model], index[t, model])
      np.testing.assert_array_equal(together[t, model], alone)


@pytest.mark.parametrize(
  ("dtype", "tolerance"), [(jnp.float32, 1e-6), (jnp.bfloat16, 1e-2)]
)
def test_normalised_pixels(dtype, tolerance):
  images, mean, std = pool_of(4), (0.1, 0.5, 0.7), (0.2, 0.25, 0.3)
  with jax.numpy_dtype_promotion("strict"):
    result = augmentation.normalise(jnp.asarray(images), mean, std, dtype)
  assert result.dtype == dtype
  expected = (images / 255 - np.array(mean)) / np.array(std)
  np.testing.assert_allclose(
    np.asarray(result, float), expected, rtol=tolerance, atol=tolerance
  )
