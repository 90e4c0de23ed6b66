"""Each network in bfloat16 and float32 against itself in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from syndata_jax import models

# Largest relative error of the loss, and of the whole gradient in L2 norm.
# float32 keeps 24 bits and bfloat16 8 bits of every number; some twenty
# layers and the cancellation in norms cost the rest. The gradient jumps where
# rounding takes a unit across the kink of its ReLU, hence the wide margins and
# a batch large enough that one unit matters little.
TOLERANCES = {"float32": (1e-5, 1e-3), "bfloat16": (0.05, 0.4)}
NETWORKS = [
  ("convnet", {"width": 8, "depth": 1}),
  pytest.param("resnet18", {"width": 4}, marks=pytest.mark.slow),
  pytest.param(
    "wide_resnet", {"width": 1, "depth": 10}, marks=pytest.mark.slow
  ),
]


@pytest.fixture(autouse=True)
def _float64():
  with jax.enable_x64(True):
    yield


def loss_and_gradient(name, options, dtype, lowering):
  """In training mode, on images and weights that do not depend on dtype."""
  model = models.create(name, 5, dtype=dtype, lowering=lowering, **options)
  draw = np.random.default_rng(0)
  images = jnp.asarray(draw.normal(size=(16, 8, 8, 3)).astype(np.float32))
  labels = jnp.asarray(draw.integers(0, 5, 16))
  fresh = jax.jit(lambda: model.init(jax.random.key(0), images, False))()
  # The statistics are held and updated in the precision of the parameters.
  wide = jnp.promote_types(dtype, jnp.float32)
  fresh = jax.tree.map(lambda a: a.astype(wide), fresh)
  rest = {k: v for k, v in fresh.items() if k != "params"}

  def loss(params):
    variables = {"params": params, **rest}
    logits, _ = model.apply(
      variables, images.astype(dtype), True, mutable=["batch_stats"]
    )
    return optax.softmax_cross_entropy_with_integer_labels(
      logits, labels
    ).mean()

  value, gradient = jax.jit(jax.value_and_grad(loss))(fresh["params"])
  flat = [np.ravel(a).astype(np.float64) for a in jax.tree.leaves(gradient)]
  return float(value), np.concatenate(flat)


@pytest.mark.slow
@pytest.mark.parametrize("name, options", NETWORKS)
def test_low_precision_is_near_float64(name, options):
  exact, direction = loss_and_gradient(name, options, jnp.float64, "grouped")
  for dtype, (most, most_gradient) in TOLERANCES.items():
    value, gradient = loss_and_gradient(
      name, options, jnp.dtype(dtype), "winograd"
    )
    assert abs(value - exact) < most * exact, dtype
    error = np.linalg.norm(gradient - direction) / np.linalg.norm(direction)
    assert error < most_gradient, dtype
