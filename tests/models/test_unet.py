"""The U-Net on small and odd images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from syndata_jax.errors import UserError
from syndata_jax.models import unet

CLASSES = 3


def perturbed(module, shape, seed=0):
  """Parameters without a zero layer, so that nothing is the identity."""
  one = jnp.zeros((1, *shape)), jnp.zeros(1), jnp.zeros(1, jnp.int32)
  shapes = jax.eval_shape(module.init, jax.random.key(0), *one)["params"]
  rng = np.random.default_rng(seed)
  draw = lambda s: jnp.asarray(rng.normal(0, 0.3, s.shape), jnp.float32)
  return jax.tree.map(draw, shapes)


def noisy(shape, batch=4):
  rng = np.random.default_rng(1)
  x = jnp.asarray(rng.normal(size=(batch, *shape)), jnp.float32)
  return x, jnp.linspace(-1.0, 1.0, batch), jnp.array([0, 1, 2, 3][:batch])


@pytest.mark.parametrize(
  ("shape", "multipliers", "attention"),
  [
    ((7, 5, 3), (1, 2, 1), (2, 7)),
    pytest.param((8, 8, 1), (1, 2), (4,), marks=pytest.mark.slow),
    pytest.param((28, 28, 1), (1, 2, 1), (7,), marks=pytest.mark.slow),
  ],
)
def test_every_input_decides_and_sizes_come_back(shape, multipliers, attention):
  module = unet.make(shape, CLASSES, 4, multipliers, 1, attention)
  params = perturbed(module, shape)
  run = jax.jit(lambda *given: module.apply({"params": params}, *given))
  x, noise, labels = noisy(shape)
  said = run(x, noise, labels)
  assert said.shape == x.shape and said.dtype == jnp.float32
  # Images do not mix; image, noise level and class each decide, and "no class"
  # (label 3) is another one.
  for other in (
    (x.at[1, 0, 0, 0].add(1), noise, labels),
    (x, noise.at[1].add(0.5), labels),
    (x, noise, labels.at[1].set(3)),
  ):
    moved = abs(run(*other) - said).max((1, 2, 3))
    assert moved[1] > 1e-3
    np.testing.assert_allclose(moved[jnp.array([0, 2, 3])], 0, atol=1e-5)


@pytest.mark.slow
def test_many_models_are_each_alone():
  shape = (5, 4, 1)
  module = unet.make(shape, CLASSES, 4, (1,), 1, (5,))
  each = [perturbed(module, shape, seed) for seed in (0, 1)]
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
  given = noisy(shape)
  run = lambda params: module.apply({"params": params}, *given)
  together = jax.jit(jax.vmap(run))(stacked)
  alone = jax.jit(run)
  for one, said in zip(each, together, strict=True):
    np.testing.assert_allclose(said, alone(one), atol=2e-4)


@pytest.mark.slow
def test_a_fresh_network_says_nothing_and_computes_in_its_precision():
  shape = (4, 4, 2)
  module = unet.make(shape, CLASSES, 4, (1,), 1, (4,), jnp.dtype("bfloat16"))
  given = noisy(shape)
  said, params = jax.jit(lambda key: module.init_with_output(key, *given))(
    jax.random.key(0)
  )
  assert said.dtype == jnp.float32 and not said.any()
  kinds = {leaf.dtype.name for leaf in jax.tree.leaves(params)}
  assert kinds == {"float32"}
  inner = jax.make_jaxpr(module.apply)(params, *given)
  assert "bf16[4,4,4,4]" in str(inner)


@pytest.mark.parametrize(
  ("fields", "said"),
  [
    ({"multipliers": ()}, "multipliers=(): must be 1 to 4"),
    ({"multipliers": (1,) * 5}, "must be 1 to 4 numbers"),
    ({"multipliers": (1, 0)}, "multipliers=0"),
    ({"width": 0}, "width=0"),
    ({"blocks": 0}, "blocks=0"),
    ({"attention": (-1,)}, "attention=-1"),
  ],
)
def test_sizes_that_do_not_fit_are_refused(fields, said):
  with pytest.raises(UserError) as error:
    unet.make((8, 8, 1), CLASSES, **fields)
  assert said in str(error.value)
