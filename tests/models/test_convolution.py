"""The convolution family against XLA's own convolution, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from variants import others_slow

from syndata_jax.errors import UserError
from syndata_jax.models import lowerings
from syndata_jax.models.convolution import convolve

# Odd and even sizes; five is the first kernel whose padding is two.
GEOMETRIES = [
  (1, 1, (4, 5)),
  (3, 1, (4, 5)),
  pytest.param(3, 2, (6, 6), marks=pytest.mark.slow),
  pytest.param(1, 2, (5, 4), marks=pytest.mark.slow),
  pytest.param(3, 2, (5, 4), marks=pytest.mark.slow),
  pytest.param(5, 2, (5, 6), marks=pytest.mark.slow),
]
# "loop" and "unrolled" compute one model alike, and "auto" is one of these.
DENSE = ["grouped", "im2col", "shifted", "unrolled", "winograd"]
BATCHING = [*DENSE, "loop"]
M, B, C, FEATURES = 2, 2, 2, 3


@pytest.fixture(autouse=True)
def _float64():
  with jax.enable_x64(True):
    yield


def reference(x, w, stride):
  p = w.shape[0] // 2
  return lax.conv_general_dilated(
    x,
    w,
    (stride, stride),
    [(p, p), (p, p)],
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )


def operands(kernel, size, models=None, seed=0):
  rng = np.random.default_rng(seed)
  lead = () if models is None else (models,)
  x = jnp.asarray(rng.normal(size=(*lead, B, *size, C)))
  w = jnp.asarray(rng.normal(size=(*lead, kernel, kernel, C, FEATURES)))
  return x, w


def curved(convolution, stride):
  """A scalar of x and w whose derivatives of every order are not zero."""

  def loss(x, w):
    y = convolution(x, w, stride)
    return jnp.sum(jnp.sin(y) * jnp.arange(y.size).reshape(y.shape) / y.size)

  return loss


def second_order(convolution, stride):
  """The gradient of a function of the gradient, as distillation needs."""

  def outer(x, w):
    gx, gw = jax.grad(curved(convolution, stride), argnums=(0, 1))(x, w)
    return jnp.sum(jnp.cos(gx)) + jnp.sum(gw**3)

  return jax.grad(outer, argnums=(0, 1))


def close(got, want):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9),
    got,
    want,
  )


def all_orders(convolution, stride):
  """Value, first and second order, in one function."""
  first = jax.grad(curved(convolution, stride), argnums=(0, 1))
  second = second_order(convolution, stride)
  return lambda x, w: (convolution(x, w, stride), first(x, w), second(x, w))


@pytest.mark.parametrize("name", DENSE)
@pytest.mark.parametrize("kernel, stride, size", GEOMETRIES)
def test_one_model(name, kernel, stride, size):
  ours = lambda x, w, s: convolve(x, w, s, name)
  x, w = operands(kernel, size)
  want = jax.jit(all_orders(reference, stride))(x, w)
  close(jax.jit(all_orders(ours, stride))(x, w), want)


@pytest.mark.parametrize("name", others_slow(BATCHING, 4))
@pytest.mark.parametrize("kernel, stride", others_slow([(3, 2), (3, 1)]))
def test_many_models(name, kernel, stride):
  """Both operands batched to second order, or one shared to first."""
  ours = lambda x, w, s: convolve(x, w, s, name)

  def under_vmap(convolution):
    orders = all_orders(convolution, stride)
    first = jax.grad(curved(convolution, stride), argnums=(0, 1))
    return lambda x, w: (
      jax.vmap(orders)(x, w),
      jax.vmap(first, (0, None))(x, w[0]),
      jax.vmap(first, (None, 0))(x[0], w),
    )

  x, w = operands(kernel, (5, 4), models=M)
  close(jax.jit(under_vmap(ours))(x, w), jax.jit(under_vmap(reference))(x, w))


@pytest.mark.parametrize("name", BATCHING)
@pytest.mark.parametrize("stride", others_slow([1, 2]))
def test_per_example_gradients_of_many_models(name, stride):
  """Vmap over models of vmap over examples of grad: what DP-SGD needs."""

  def per_example(convolution):
    def one(image, w):
      return jax.grad(curved(convolution, stride), argnums=1)(image[None], w)

    return jax.vmap(jax.vmap(one, (0, None)), (0, 0))

  x, w = operands(3, (6, 6), models=M)
  ours = lambda a, b, s: convolve(a, b, s, name)
  want = jax.jit(per_example(reference))(x, w)
  close(jax.jit(per_example(ours))(x, w), want)


@pytest.mark.parametrize("name", ["auto", "shifted"])
def test_unrolled_trajectory(name):
  """Gradient, through three SGD steps under vmap and scan, to the images."""

  def trajectory(convolution):
    def distance(x, w):
      step = lambda w, _: (
        w - 0.1 * jax.grad(curved(convolution, 1), argnums=1)(x, w),
        None,
      )
      return jnp.sum(lax.scan(step, w, None, length=3)[0] ** 2)

    return jax.vmap(jax.grad(distance))

  x, w = operands(3, (6, 6), models=M)
  ours = lambda a, b, s: convolve(a, b, s, name)
  want = jax.jit(trajectory(reference))(x, w)
  close(jax.jit(trajectory(ours))(x, w), want)


@pytest.mark.parametrize("name", others_slow(DENSE, 2))
def test_bfloat16_accumulates_in_float32(name):
  x, w = operands(3, (8, 8))
  low = convolve(x.astype(jnp.bfloat16), w.astype(jnp.bfloat16), 1, name)
  assert low.dtype == jnp.bfloat16
  error = jnp.abs(low.astype(jnp.float64) - reference(x, w, 1))
  assert jnp.max(error) < 0.02 * jnp.max(jnp.abs(reference(x, w, 1)))


@pytest.mark.slow
def test_winograd_in_float32():
  """Against a loop over taps in float64; errors in deviations of the result."""
  draw = np.random.default_rng(0)
  x = draw.normal(size=(4, 14, 9, 32))
  w = draw.normal(size=(3, 3, 32, 16))
  g = draw.normal(size=(4, 14, 9, 16))
  padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  y, gradient = np.zeros(g.shape), np.zeros(w.shape)
  for i in range(3):
    for j in range(3):
      seen = padded[:, i : i + 14, j : j + 9]
      y += seen @ w[i, j]
      gradient[i, j] = np.einsum("bhwc,bhwo->co", seen, g)
  f32 = lambda a: jnp.asarray(a, jnp.float32)
  got, pull = jax.vjp(lambda w: convolve(f32(x), w, 1, "winograd"), f32(w))
  assert got.dtype == jnp.float32
  assert np.abs(got - y).max() < 1e-4 * y.std()
  assert np.abs(pull(f32(g))[0] - gradient).max() < 1e-4 * gradient.std()


@pytest.mark.parametrize(
  "channels, size, backend, dense",
  [
    (32, (8, 8), "cpu", "winograd"),
    (31, (8, 8), "cpu", "xla"),
    (32, (2, 8), "cpu", "im2col"),
    (31, (2, 8), "cpu", "xla"),
    (32, (2, 8), "gpu", "xla"),
    (32, (8, 8), "gpu", "xla"),
  ],
)
def test_auto_takes_matrix_products_where_they_pay(
  channels, size, backend, dense
):
  geometry = lowerings.Geometry(3, 1, *size)
  chosen = lowerings.named("auto", geometry, channels, 64, backend)
  assert chosen.forward.dense == dense


def test_batched_weights_leave_no_grouped_convolution():
  x, w = operands(3, (8, 8), models=M)
  gradient = jax.vmap(jax.grad(curved(convolve, 1), argnums=(0, 1)))
  text = jax.jit(gradient).lower(x, w).as_text()
  assert "feature_group_count = 1" in text
  assert f"feature_group_count = {M}" not in text


def test_mistakes_are_named():
  x, w = operands(3, (8, 8))
  with pytest.raises(UserError, match="lowering='fast'"):
    convolve(x, w, 1, "fast")
  with pytest.raises(ValueError, match="odd and square"):
    convolve(x, w[:2], 1)
  with pytest.raises(ValueError, match="do not fit"):
    convolve(x[..., :1], w, 1)
