"""What the compiler plans for trajectories of ten and of a hundred steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from syndata_jax import models
from syndata_jax.paradigms.distillation.mtt import exact_gradient
from syndata_jax.paradigms.distillation.setup import from_module
from syndata_jax.paradigms.distillation.synthetic import Synthetic
from syndata_jax.paradigms.distillation.tesla import tesla_gradient

SHAPE, IMAGES = (16, 16, 1), 64
NETWORK = from_module(models.create("convnet", 10, width=8, depth=2), SHAPE)


def parameter_bytes():
  shapes = jax.eval_shape(NETWORK.init, jax.random.key(0))
  return sum(4 * np.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def planned(gradient, steps):
  """Temporary bytes of one gradient."""
  params = jax.eval_shape(NETWORK.init, jax.random.key(0))
  synthetic = Synthetic(
    jax.ShapeDtypeStruct((IMAGES, *SHAPE), jnp.float32),
    jax.ShapeDtypeStruct((IMAGES,), jnp.int32),
    jax.ShapeDtypeStruct((), jnp.float32),
  )
  batches = jax.ShapeDtypeStruct((steps, IMAGES), jnp.int32)
  lowered = jax.jit(gradient, static_argnums=0).lower(
    NETWORK.logits, params, params, synthetic, batches
  )
  return lowered.compile().memory_analysis().temp_size_in_bytes


@pytest.mark.slow
def test_the_exact_gradient_grows_by_parameters_alone():
  short, long = planned(exact_gradient, 10), planned(exact_gradient, 100)
  added = (long - short) / 90
  assert added == pytest.approx(parameter_bytes(), rel=0.1)
  # One step's activations alone are more: two layers of eight channels.
  assert added < IMAGES * 16 * 16 * 8 * 4


@pytest.mark.slow
def test_tesla_is_flat():
  short, long = planned(tesla_gradient, 10), planned(tesla_gradient, 100)
  assert long == pytest.approx(short, rel=0.05)
