"""Augmentation against loops and PyTorch, the law of its draws, gradients."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from variants import others_slow

from syndata_jax.errors import UserError
from syndata_jax.paradigms.distillation.siamese import (
  OPERATIONS,
  augment,
  color,
  crop,
  cutout,
  flip,
  parse,
  rotate,
  scale,
)

SHAPES = [(8, 8, 1), (28, 28, 1), (32, 32, 3), (9, 14, 2)]


def drawn(*shape, seed=0):
  # No value is 0, so a zero was filled in.
  return np.random.default_rng(seed).uniform(1, 2, shape)


def in_float64(transform, image, *parameters):
  """Compiled once for each shape, and again for each setting by name."""
  with jax.enable_x64(True):
    result = jax.jit(transform)(jnp.asarray(image), *parameters)
    assert result.dtype == jnp.float64
    return np.asarray(result)


def positions(height, width):
  """An image of two channels: where a pixel is, from the centre."""
  grid = (
    np.mgrid[:height, :width]
    - np.array([height - 1, width - 1])[:, None, None] / 2
  )
  return np.moveaxis(grid, 0, -1)


def many(name, image, siamese, count=4000):
  """One operation on an image, with as many independent draws."""
  image, key = jnp.asarray(image, jnp.float32), jax.random.key(5)
  run = jax.jit(lambda k, x: augment(k, x, (name,), siamese))
  if not siamese:
    return np.asarray(run(key, jnp.broadcast_to(image, (count, *image.shape))))
  one = lambda key: run(key, image[None])[0]
  return np.asarray(jax.jit(jax.vmap(one))(jax.random.split(key, count)))


def assert_uniform(values, low, high):
  law = scipy.stats.uniform(low, high - low)
  assert scipy.stats.kstest(values, law.cdf).pvalue > 1e-4
  # Both ends are reached and none is passed, to 1%.
  np.testing.assert_allclose(
    [values.min(), values.max()], [low, high], atol=0.01 * (high - low)
  )


def test_parsed_strategies():
  full = "color_crop_cutout_flip_scale_rotate"
  assert parse(full) == OPERATIONS
  assert parse("rotate_flip") == ("rotate", "flip")
  assert parse("") == ()


@pytest.mark.parametrize(
  "strategy", ["colour", "flip_flip", "flip_", "_", "flip crop", "Flip", "none"]
)
def test_a_wrong_strategy_is_named(strategy):
  with pytest.raises(UserError) as error:
    parse(strategy)
  message = str(error.value)
  assert message.startswith(
    f"augmentation={strategy!r}: must be names of color"
  )
  assert "\n" not in message


@pytest.mark.parametrize("shape", SHAPES)
def test_color_is_brightness_then_saturation_then_contrast(shape):
  image = drawn(*shape)
  bright = image - 0.3
  grey = bright.mean(-1, keepdims=True)
  saturated = (bright - grey) * 1.7 + grey
  expected = (saturated - saturated.mean()) * 0.6 + saturated.mean()
  got = in_float64(color, image, -0.3, 1.7, 0.6)
  np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize(
  ("shape", "reach"), zip(SHAPES, (1, 4, 4, 1), strict=True)
)
def test_crop_shifts_zeros_in(shape, reach):
  image = drawn(*shape)
  for dy, dx in itertools.product((-reach, 0, 1), (reach, 0, -1)):
    expected = np.zeros_like(image)
    for y, x in np.ndindex(shape[:2]):
      if 0 <= y + dy < shape[0] and 0 <= x + dx < shape[1]:
        expected[y, x] = image[y + dy, x + dx]
    got = in_float64(crop, image, dy, dx)
    np.testing.assert_array_equal(got, expected)


def cut(image, y, x):
  """The indices of the published code: clamped to the image."""
  result = image.copy()
  sides = [int(n * 0.5 + 0.5) for n in image.shape[:2]]
  for i, j in np.ndindex(*sides):
    row = np.clip(y - sides[0] // 2 + i, 0, image.shape[0] - 1)
    column = np.clip(x - sides[1] // 2 + j, 0, image.shape[1] - 1)
    result[row, column] = 0
  return result


@pytest.mark.parametrize("shape", SHAPES)
def test_cutout_shrinks_at_borders(shape):
  image = drawn(*shape)
  for y, x in [(0, 0), (shape[0] - 1, 3), (5, shape[1] - 1), (4, 6)]:
    got = in_float64(cutout, image, y, x)
    np.testing.assert_array_equal(got, cut(image, y, x))


def test_flip_mirrors_left_and_right():
  image = drawn(5, 6, 2)
  for mirrored, expected in ((True, image[:, ::-1]), (False, image)):
    got = in_float64(flip, image, mirrored)
    np.testing.assert_array_equal(got, expected)


def resampled(image, matrix, align_corners):
  torch = pytest.importorskip("torch", reason="compares with grid_sample")
  batch = torch.as_tensor(np.moveaxis(image, -1, 0)[None])
  theta = torch.as_tensor(np.array(matrix)[None])
  functional = torch.nn.functional
  grid = functional.affine_grid(theta, batch.shape, align_corners=align_corners)
  result = functional.grid_sample(batch, grid, align_corners=align_corners)
  return np.moveaxis(result[0].numpy(), 0, -1)


@pytest.mark.parametrize("shape", SHAPES)
def test_scale_equals_grid_sample_of_either_kind(shape):
  image = drawn(*shape)
  for sy, sx in [(1.2, 0.84), (0.9, 1.13), (1.0, 1.0)]:
    matrix = [[sx, 0.0, 0.0], [0.0, sy, 0.0]]
    got = in_float64(scale, image, sy, sx)
    for align_corners in (False, True):
      expected = resampled(image, matrix, align_corners)
      np.testing.assert_allclose(got, expected, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("align_corners", [False, True])
def test_rotate_equals_grid_sample(shape, align_corners):
  image = drawn(*shape)
  turn = functools.partial(rotate, align_corners=align_corners)
  for degrees in (15.0, -11.0, 0.0, 75.0):
    angle = np.radians(degrees)
    sin, cos = np.sin(angle), np.cos(angle)
    matrix = [[cos, -sin, 0.0], [sin, cos, 0.0]]
    np.testing.assert_allclose(
      in_float64(turn, image, angle),
      resampled(image, matrix, align_corners),
      atol=1e-12,
    )


@pytest.mark.filterwarnings("ignore:Since version 1.3.0")
@pytest.mark.parametrize("shape", [(1, 9, 2), (9, 1, 1), (1, 1, 3), (2, 1, 1)])
def test_a_side_of_one_pixel(shape):
  """Nothing divides by it, and both kinds stay those of grid_sample."""
  image = drawn(*shape)
  for align_corners in (False, True):
    turn = functools.partial(rotate, align_corners=align_corners)
    for degrees in (15.0, -11.0, 0.0):
      angle = np.radians(degrees)
      sin, cos = np.sin(angle), np.cos(angle)
      turned, zoomed = (
        resampled(image, matrix, align_corners)
        for matrix in (
          [[cos, -sin, 0.0], [sin, cos, 0.0]],
          [[1.2, 0.0, 0.0], [0.0, 0.9, 0.0]],
        )
      )
      got = in_float64(turn, image, angle)
      np.testing.assert_allclose(got, turned, atol=1e-12)
      got = in_float64(scale, image, 0.9, 1.2)
      np.testing.assert_allclose(got, zoomed, atol=1e-12)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(
  "shape", [(1, 1, 1), pytest.param((1, 12, 1), marks=pytest.mark.slow)]
)
def test_every_operation_on_a_side_of_one_pixel_has_a_gradient(name, shape):
  images = jnp.asarray(drawn(3, *shape), jnp.float32)

  @jax.jit
  def both(key):
    view = lambda x: augment(key, x, (name,), False, align_corners=True)
    gradient = jax.grad(lambda x: (view(x) ** 2).sum())(images)
    return view(images), gradient

  for seed in range(4):
    view, gradient = both(jax.random.key(seed))
    assert np.isfinite(view).all() and np.isfinite(gradient).all()
    # A cut of half of one pixel is all of it.
    if not (name == "cutout" and shape == (1, 1, 1)):
      assert np.abs(gradient).max() > 0


@pytest.mark.parametrize("siamese", [False, True])
def test_law_of_color(siamese):
  image = drawn(8, 8, 3)
  images = many("color", image, siamese)
  middle, centre = images.mean((1, 2, 3)), image.mean()
  assert_uniform(middle - centre, -0.5, 0.5)
  grey = image.mean(-1)[0, 0] - centre
  contrast = (images.mean(-1)[:, 0, 0] - middle) / grey
  assert_uniform(contrast, 0.5, 1.5)
  tint = (images[:, 0, 0, 0] - images[:, 0, 0, 1]) / (
    image[0, 0, 0] - image[0, 0, 1]
  )
  assert_uniform(tint / contrast, 0, 2)
  three = np.corrcoef([middle, contrast, tint / contrast])
  np.testing.assert_allclose(three, np.eye(3), atol=0.08)


def assert_equally_often(images, candidates):
  counts = [(images == image).all((1, 2, 3)).sum() for image in candidates]
  assert sum(counts) == len(images)
  assert scipy.stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("siamese", [False, True])
@pytest.mark.parametrize(
  ("size", "reach"), others_slow([(8, 1), (28, 4), (32, 4)])
)
def test_law_of_crop(siamese, size, reach):
  image = np.float32(drawn(size, size, 1))
  padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)))
  starts = range(2 * reach + 1)
  assert_equally_often(
    many("crop", image, siamese),
    [padded[y : y + size, x : x + size] for y in starts for x in starts],
  )


@pytest.mark.parametrize("siamese", [False, True])
@pytest.mark.parametrize(
  ("size", "last"), others_slow([(9, 8), (8, 8), (4, 4)])
)
def test_law_of_cutout(siamese, size, last):
  image, centres = np.float32(drawn(size, size, 1)), range(last + 1)
  assert_equally_often(
    many("cutout", image, siamese),
    [cut(image, y, x) for y in centres for x in centres],
  )


@pytest.mark.parametrize("siamese", [False, True])
def test_law_of_flip(siamese):
  image = np.float32(drawn(4, 4, 1))
  images = many("flip", image, siamese)
  assert_equally_often(images, [image, image[:, ::-1]])


@pytest.mark.parametrize("siamese", [False, True])
def test_law_of_scale(siamese):
  images = many("scale", positions(8, 8), siamese)
  sy = images[:, 4, 3, 0] - images[:, 3, 3, 0]
  sx = images[:, 3, 4, 1] - images[:, 3, 3, 1]
  assert_uniform(sy, 1 / 1.2, 1.2)
  assert_uniform(sx, 1 / 1.2, 1.2)
  assert abs(np.corrcoef(sy, sx)[0, 1]) < 0.08


@pytest.mark.parametrize("siamese", [False, True])
def test_law_of_rotate(siamese):
  images = many("rotate", positions(8, 8), siamese)
  sin = images[:, 3, 4, 0] - images[:, 3, 3, 0]
  cos = images[:, 4, 3, 0] - images[:, 3, 3, 0]
  assert_uniform(np.degrees(np.arctan2(sin, cos)), -15, 15)


@pytest.mark.parametrize(
  ("align_corners", "aspect"), [(False, 20 / 12), (True, 19 / 11)]
)
def test_the_square_that_is_rotated_can_be_chosen(align_corners, aspect):
  run = jax.jit(lambda k, x: augment(k, x, ("rotate",), True, align_corners))
  batch = jnp.asarray(positions(12, 20)[None], jnp.float32)
  image = np.asarray(run(jax.random.key(4), batch))[0]
  cos = image[6, 9, 0] - image[5, 9, 0]
  sin_times_aspect = image[5, 9, 1] - image[6, 9, 1]
  assert abs(sin_times_aspect) > 0.1
  np.testing.assert_allclose(
    cos**2 + (sin_times_aspect / aspect) ** 2, 1, atol=1e-5
  )


@pytest.mark.slow
def test_operations_are_drawn_equally_often():
  image = jnp.asarray(drawn(1, 8, 8, 3), jnp.float32)
  keys = jax.random.split(jax.random.key(1), 3000)

  def under(operations):
    run = lambda key: augment(key, image, operations, True)
    return np.asarray(jax.jit(jax.vmap(run))(keys)).reshape(len(keys), -1)

  alone = np.stack([under((name,)) for name in OPERATIONS], 1)
  match = np.isclose(under(OPERATIONS)[:, None], alone, atol=1e-5).all(-1)
  # A flip or a crop may leave the image as it is: such keys tell nothing.
  same = np.isclose(alone, image.reshape(-1), atol=1e-5).all(-1).sum(1) > 1
  assert (match.sum(1)[~same] == 1).all()
  assert scipy.stats.chisquare(match[~same].sum(0)).pvalue > 1e-4


@pytest.mark.parametrize("name", OPERATIONS)
def test_siamese_batches_of_any_size_are_treated_alike(name):
  real = jnp.asarray(drawn(7, 8, 8, 3), jnp.float32)
  chosen = jnp.array([4, 4, 1])
  run = jax.jit(lambda k, x: augment(k, x, (name,), True))
  for seed in range(4):
    key = jax.random.key(seed)
    few, all_of_them = run(key, real[chosen]), run(key, real)
    np.testing.assert_allclose(few, all_of_them[chosen], atol=1e-6)


@pytest.mark.parametrize("name", OPERATIONS)
def test_otherwise_each_image_has_its_own_parameters(name):
  same = jnp.broadcast_to(jnp.asarray(drawn(8, 8, 3)), (64, 8, 8, 3))
  run = jax.jit(lambda k, x: augment(k, x, (name,), False))
  images = run(jax.random.key(0), same)
  different = len(np.unique(np.asarray(images), axis=0))
  # Values of 64 draws: 9 crops, 81 cuts, 2 flips, or a continuum.
  assert different >= {"crop": 8, "cutout": 30, "flip": 2}.get(name, 64)


@pytest.mark.parametrize("siamese", others_slow([False, True]))
@pytest.mark.parametrize("name", OPERATIONS)
def test_first_and_second_gradients(name, siamese):
  with jax.enable_x64(True):
    images, weights, direction = jnp.asarray(drawn(3, 2, 5, 6, 2))

    @jax.jit
    def derivatives(key, images):
      def loss(images):
        new = augment(key, images, (name,), siamese)
        return jnp.sin(weights * new).sum()

      def slope(images):
        value, gradient = jax.value_and_grad(loss)(images)
        return jnp.vdot(gradient, direction), (value, gradient)

      second, (value, gradient) = jax.grad(slope, has_aux=True)(images)
      return value, gradient, second

    # This key mirrors and shifts both images.
    step, key = 1e-5 * direction, jax.random.key(7)
    _, gradient, second = derivatives(key, images)
    above = derivatives(key, images + step)
    below = derivatives(key, images - step)
    np.testing.assert_allclose(
      jnp.vdot(gradient, direction), (above[0] - below[0]) / 2e-5, rtol=1e-6
    )
    np.testing.assert_allclose(
      second, (above[1] - below[1]) / 2e-5, rtol=1e-6, atol=1e-6
    )
    # Cutout leaves the least.
    assert (np.abs(gradient) > 0).mean() > 0.4


@pytest.mark.parametrize(
  ("operations", "siamese"),
  others_slow([(("crop", "rotate"), True), (OPERATIONS, False)]),
)
def test_in_a_scan_over_steps_and_a_vmap_over_models_as_alone(
  operations, siamese
):
  keys = jax.random.split(jax.random.key(2), (4, 3))
  images = jnp.asarray(drawn(3, 2, 8, 8, 3), jnp.float32)

  @jax.jit
  def one(key, images):
    def loss(images):
      new = augment(key, images, operations, siamese)
      return (new**3).sum(), new

    gradient, new = jax.grad(loss, has_aux=True)(images)
    return new, gradient

  def step(carry, keys):
    return carry, jax.vmap(one)(keys, images)

  together = jax.jit(lambda: jax.lax.scan(step, 0, keys)[1])()
  for t, model in np.ndindex(4, 3):
    alone = one(keys[t, model], images[model])
    for got, expected in zip(together, alone, strict=True):
      np.testing.assert_allclose(got[t, model], expected, rtol=2e-5, atol=1e-5)


def test_without_operations_images_stay():
  images = jnp.asarray(drawn(2, 4, 4, 1))
  assert augment(jax.random.key(0), images, (), True) is images


@pytest.mark.parametrize("siamese", [False, True])
@pytest.mark.parametrize("name", OPERATIONS)
def test_types_are_kept(name, siamese):
  with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
    for dtype in (jnp.float32, jnp.float64):
      images = jax.ShapeDtypeStruct((3, 8, 8, 1), dtype)
      result = jax.eval_shape(
        lambda x: augment(jax.random.key(0), x, (name,), siamese),
        images,
      )
      assert result == images
