"""Clipped sums against a loop over examples, for all networks, both ways."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st

from syndata_jax import models
from syndata_jax.ensemble import Engine, Recipe, make_layout
from syndata_jax.paradigms.dpsgd import clipped_gradient, ghost, tape
from syndata_jax.paradigms.dpsgd.clipping import clipped_sum

CLASSES, SHAPE, CLIP = 3, (8, 8, 2), 0.7
NETWORKS = {
  "convnet": {"width": 4, "depth": 2},
  "resnet18": {"width": 16, "norm": "group"},
  "wide_resnet": {"width": 1, "depth": 10, "norm": "group"},
}


def engine(name):
  return Engine(
    models.create(name, CLASSES, **NETWORKS[name]),
    Recipe(),
    make_layout(1, devices=jax.devices()[:1]),
    (0.5,) * 2,
    (0.25,) * 2,
    jnp.dtype("float32"),
  )


def parameters(tools, seed=0):
  """Away from the start, where scales are one and biases zero."""
  params = tools.model.init(jax.random.key(seed), jnp.zeros((1, *SHAPE)))
  leaves, tree = jax.tree.flatten(params["params"])
  rng = np.random.default_rng(seed)
  return jax.tree.unflatten(
    tree, [a + 0.1 * rng.normal(size=a.shape).astype(a.dtype) for a in leaves]
  )


def batch(examples, views):
  rng = np.random.default_rng(1)
  images = rng.integers(0, 256, (examples, views, *SHAPE), dtype=np.uint8)
  labels = rng.integers(0, CLASSES, examples)
  return jnp.asarray(images), jnp.asarray(labels)


def by_hand(tools, params, images, labels, valid):
  """One example after another, in float64 from its gradient on."""

  @jax.jit
  def gradient(views, label):
    def loss(params):
      x = (views / 255.0 - 0.5) / 0.25
      logits = tools.model.apply({"params": params}, x, True)
      return jnp.mean(jax.nn.logsumexp(logits, -1) - logits[:, label])

    return jax.grad(loss)(params)

  total, norms = None, []
  for i in range(len(labels)):
    found = jax.tree.map(
      lambda a: np.asarray(a, np.float64), gradient(images[i], labels[i])
    )
    norm = np.sqrt(sum((a**2).sum() for a in jax.tree.leaves(found)))
    norms.append(norm)
    if valid[i]:
      found = jax.tree.map(lambda a, n=norm: a * min(1, CLIP / n), found)
      total = found if total is None else jax.tree.map(np.add, total, found)
  return total, np.array(norms)


@pytest.mark.parametrize(
  ("name", "views"),
  [
    ("convnet", 2),
    pytest.param("convnet", 1, marks=pytest.mark.slow),
    pytest.param("resnet18", 2, marks=pytest.mark.slow),
    pytest.param("wide_resnet", 2, marks=pytest.mark.slow),
  ],
)
def test_both_ways_equal_a_loop(name, views):
  tools = engine(name)
  params, (images, labels) = parameters(tools), batch(4, views)
  valid = np.array([True, True, False, True])
  total, norms = by_hand(tools, params, images, labels, valid)
  assert norms.max() > CLIP  # something is clipped
  for method in ("ghost", "formed"):
    found = jax.jit(clipped_sum, static_argnums=(0, 5, 6))(
      tools, params, images, labels, jnp.asarray(valid), CLIP, method
    )
    np.testing.assert_allclose(found.norms, norms, rtol=2e-4)
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5),
      found.total,
      total,
    )


@pytest.mark.slow
def test_losses_and_accuracy_are_means_over_views():
  tools = engine("convnet")
  params, (images, labels) = parameters(tools), batch(3, 2)
  found = clipped_sum(
    tools, params, images, labels, jnp.ones(3, bool), CLIP, "ghost"
  )
  x = (np.asarray(images) / 255.0 - 0.5) / 0.25
  logits = np.stack(
    [tools.model.apply({"params": params}, v, True) for v in x]
  ).astype(np.float64)
  chosen = np.take_along_axis(logits, np.asarray(labels)[:, None, None], 2)
  losses = np.log(np.exp(logits).sum(-1)) - chosen[..., 0]
  np.testing.assert_allclose(found.losses, losses.mean(1), rtol=1e-4)
  correct = (logits.argmax(-1) == np.asarray(labels)[:, None]).mean(1)
  np.testing.assert_allclose(found.correct, correct)


def linear(params, image, label):
  return jnp.sum(params * image) * label


@settings(max_examples=25, deadline=None)
@given(
  values=st.lists(st.floats(-1e3, 1e3, width=32), min_size=6, max_size=6),
  clip=st.floats(0.01, 100),
)
def test_removing_one_example_moves_the_sum_by_at_most_the_norm(values, clip):
  """Sensitivity: gradients of `linear` are label times image."""
  images = jnp.asarray(values, jnp.float32).reshape(3, 1, 2, 1)
  labels = jnp.array([1.0, -2.0, 30.0])
  params = jnp.zeros((1, 2, 1))
  whole, norms = clipped_gradient(linear, params, images, labels, clip)
  part, _ = clipped_gradient(linear, params, images[1:], labels[1:], clip)
  # The sums are rounded to float32, at most three terms of size clip.
  assert jnp.linalg.norm(whole - part) <= clip * (1 + 1e-5)
  want = np.abs([1, 2, 30]) * np.linalg.norm(images.reshape(3, -1), axis=1)
  np.testing.assert_allclose(norms, want, rtol=1e-5)


def test_a_gradient_that_is_not_finite_counts_as_nothing():
  images = jnp.ones((2, 1, 2, 1)).at[0].set(jnp.inf)
  labels, params = jnp.ones(2), jnp.zeros((1, 2, 1))
  total, _ = clipped_gradient(linear, params, images, labels, 10.0)
  np.testing.assert_allclose(total, np.ones((1, 2, 1)))


@pytest.mark.parametrize(
  ("positions", "inputs", "outputs"), [(2, 40, 30), (50, 4, 3)]
)
def test_both_forms_of_a_norm_equal_the_formed_matrix(
  positions, inputs, outputs
):
  """Few positions take products of positions, many the matrix itself."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=(5, positions, inputs))
  g = rng.normal(size=(5, positions, outputs))
  formed = np.stack([a.T @ b for a, b in zip(x, g, strict=True)])
  found = ghost._product_norms(jnp.asarray(x, "f4"), jnp.asarray(g, "f4"))
  np.testing.assert_allclose(found, (formed**2).sum((1, 2)), rtol=1e-4)


class Other(nn.Module):
  """A layer that the recorder does not know."""

  @nn.compact
  def __call__(self, x, train=False):
    return nn.LayerNorm()(nn.Dense(2)(x.reshape(len(x), -1)))


class Twice(nn.Module):
  """One layer used twice: its gradient is a sum that no layer sees."""

  @nn.compact
  def __call__(self, x, train=False):
    layer = nn.Dense(4)
    return layer(layer(x.reshape(len(x), -1)))


@pytest.mark.parametrize(
  ("model", "message"),
  [(Other(), "LayerNorm_0/.* of no known layer"), (Twice(), "applied twice")],
)
def test_networks_that_cannot_be_recorded(model, message):
  images = jnp.ones((2, 2, 2, 1))
  params = model.init(jax.random.key(0), images)["params"]
  with pytest.raises(ValueError, match=message):
    tape.record(model, params, images, lambda y: (y.sum(), None))
