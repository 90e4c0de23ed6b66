"""Parameter counts, shapes and starts of the networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from syndata_jax import models
from syndata_jax.errors import UserError
from syndata_jax.models import layers
from syndata_jax.models.instance_norm import standardise


def shapes(model, shape):
  images = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
  init = lambda x: model.init(jax.random.key(0), x, False)
  return jax.eval_shape(init, images)


@pytest.mark.parametrize(
  ("name", "options", "count"),
  [
    ("resnet18", {}, 11_173_962),
    ("convnet", {}, 320_010),
    ("wide_resnet", {}, 2_751_146),
    ("wide_resnet", {"norm": "group"}, 2_751_562),
  ],
)
def test_parameter_counts(name, options, count):
  variables = shapes(models.create(name, 10, **options), (32, 32, 3))
  assert sum(a.size for a in jax.tree.leaves(variables["params"])) == count


@pytest.mark.parametrize("name", models.NAMES)
@pytest.mark.parametrize(
  "shape", [(5, 7, 2), pytest.param((28, 28, 1), marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_any_image_gives_float32_logits(name, shape, dtype):
  model = models.create(name, 7, dtype=jnp.dtype(dtype))
  variables = shapes(model, shape)
  images = jax.ShapeDtypeStruct((2, *shape), jnp.dtype(dtype))
  logits = jax.eval_shape(lambda v, x: model.apply(v, x), variables, images)
  assert (logits.shape, logits.dtype) == ((2, 7), jnp.float32)
  stored = jax.tree.leaves(variables)
  assert all(leaf.dtype == jnp.float32 for leaf in stored)


@pytest.mark.parametrize("name", ["resnet18", "wide_resnet"])
def test_group_norm_keeps_no_statistics(name):
  model = models.create(name, 10, norm="group", width=16)
  assert set(shapes(model, (8, 8, 1))) == {"params"}
  assert "batch_stats" in shapes(models.create(name, 10, width=4), (8, 8, 1))


def test_weights_start_as_in_pytorch():
  """Kernel and bias uniform within 1 / sqrt(fan_in)."""
  conv = layers.Conv(64, use_bias=True)
  params = conv.init(jax.random.key(0), jnp.zeros((1, 8, 8, 16)))["params"]
  bound = 1 / np.sqrt(9 * 16)
  for leaf in params.values():
    assert np.abs(leaf).max() <= bound
    assert np.abs(leaf).max() > 0.9 * bound
  assert np.std(params["kernel"]) == pytest.approx(bound / np.sqrt(3), rel=0.02)


def test_instance_norm_is_per_image_and_channel():
  norm = layers.norm("instance", jnp.dtype("float32"))(True)
  x = np.random.default_rng(0).normal(3, 2, (2, 5, 5, 4)).astype(np.float32)
  y = norm.apply(norm.init(jax.random.key(0), x), x)
  want = (x - x.mean((1, 2), keepdims=True)) / np.sqrt(
    x.var((1, 2), keepdims=True) + 1e-5
  )
  np.testing.assert_allclose(y, want, atol=1e-4)


def test_instance_norm_has_the_gradients_of_its_formula():
  """The first and the second, against automatic ones of the plain formula."""
  draw = np.random.default_rng(1)
  x, g, u = draw.normal(1, 2, (3, 2, 4, 3, 5))
  x[0, :, :, 0] = 1.5  # a channel without contrast

  def plain(x):
    centred = x - x.mean((1, 2), keepdims=True)
    return centred / jnp.sqrt((centred**2).mean((1, 2), keepdims=True) + 1e-5)

  def both(function):
    first = jax.grad(lambda x: (jnp.sin(function(x)) * g).sum())
    return first(x), jax.grad(lambda x: (first(x) * u).sum())(x)

  with jax.enable_x64(True):
    pairs = zip(both(standardise), both(plain), strict=True)
    for found, want in pairs:
      assert found.dtype == jnp.float64
      np.testing.assert_allclose(found, want, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
  ("channels", "groups"), [(1, 1), (8, 8), (12, 4), (16, 16), (48, 16)]
)
def test_group_norm_has_16_groups_or_as_many_as_divide(channels, groups):
  class Alone(nn.Module):
    @nn.compact
    def __call__(self, x):
      return layers.norm("group", jnp.dtype("float32"))(True)(x)

  draw = np.random.default_rng(0)
  x = draw.normal(3, 2, (2, 5, 4, channels)).astype(np.float32)
  y, variables = Alone().init_with_output(jax.random.key(0), x)
  assert list(variables["params"]) == ["GroupNorm_0"]
  parts = x.reshape(2, 20, groups, -1)
  mean, variance = (
    f(parts, axis=(1, 3), keepdims=True) for f in (np.mean, np.var)
  )
  want = (parts - mean) / np.sqrt(variance + 1e-5)
  np.testing.assert_allclose(y, want.reshape(x.shape), atol=1e-4)


def test_batch_norm_keeps_a_tenth_of_each_new_batch():
  norm = layers.norm("batch", jnp.dtype("float32"))(True)
  x = np.random.default_rng(0).normal(3, 2, (8, 5, 5, 4)).astype(np.float32)
  _, new = norm.init_with_output(jax.random.key(0), x)
  _, new = norm.apply(new, x, mutable=["batch_stats"])
  mean = new["batch_stats"]["mean"]
  np.testing.assert_allclose(mean, 0.1 * x.mean((0, 1, 2)), rtol=1e-4)


def test_average_pool_drops_the_odd_row():
  x = np.arange(2 * 5 * 4 * 3, dtype=np.float32).reshape(2, 5, 4, 3)
  want = np.zeros((2, 2, 2, 3), np.float32)
  for i in range(2):
    for j in range(2):
      block = x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
      want[:, i, j] = block.mean((1, 2))
  np.testing.assert_allclose(layers.average_pool(jnp.asarray(x)), want)


@pytest.mark.parametrize(
  ("name", "options", "message"),
  [
    ("resnet50", {}, "model='resnet50': must be one of convnet, resnet18"),
    ("convnet", {"wdth": 3}, "model option 'wdth': convnet accepts width"),
    ("convnet", {"norm": "layer"}, "norm='layer': must be one of batch"),
    ("wide_resnet", {"depth": 17}, "depth=17"),
    ("wide_resnet", {"norm": "instance"}, "accepts batch or group"),
    # A ConvNet of no layer would be a linear model, built in silence.
    ("convnet", {"depth": 0}, "^depth=0: must be a whole number of at least 1"),
    ("convnet", {"depth": -1}, "^depth=-1: must be a whole number"),
    ("convnet", {"depth": 1.5}, "^depth=1.5: must be a whole number"),
    ("convnet", {"width": 0}, "^width=0: must be a whole number of at"),
    ("resnet18", {"width": 0}, "^width=0: must be a whole number of at"),
    ("resnet18", {"width": 2.0}, "^width=2.0: must be a whole number"),
    ("wide_resnet", {"width": -2}, "^width=-2: must be a whole number of at"),
    ("wide_resnet", {"depth": 4}, "^depth=4: must be a whole number of at"),
    ("wide_resnet", {"depth": 10.0}, "^depth=10.0: must be a whole number"),
  ],
)
def test_mistakes_are_named(name, options, message):
  with pytest.raises(UserError, match=message):
    models.create(name, 10, **options)
