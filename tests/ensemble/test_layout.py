"""Functions of one model over many: placed, gathered, and never mixed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from syndata_jax.ensemble import make_layout

M = 5
LAYOUTS = {
  "one": {"devices": 1},
  "chunks": {"devices": 1, "chunk": 5},
  "three, uneven": {"devices": 3},
  "pmap": {"devices": 3, "device_axis": "pmap"},
}
COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "permute", "scatter")


def layout(name):
  options = LAYOUTS[name].copy()
  devices = jax.devices()[: options.pop("devices")]
  return make_layout(M, devices=devices, **options)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_function_of_one_model_is_applied_to_all(name):
  rng = np.random.default_rng(0)
  data = {"x": rng.normal(size=(M, 3)), "n": np.arange(M)}
  shared = rng.normal(size=3)
  results = layout(name).map(
    lambda own, shared: {"y": own["x"] * shared, "n": own["n"] + 1},
    jax.tree.map(lambda a: a.astype("f4"), data),
    shared.astype("f4"),
  )
  np.testing.assert_allclose(results["y"], data["x"] * shared, rtol=1e-6)
  np.testing.assert_array_equal(results["n"], np.arange(M) + 1)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_gradient_by_what_is_made_inside_is_each_models_own(name):
  """Zeros made by the function itself belong to one model, not to all.

  d/dz of x . (z + 1)^2 at zero is 2 x: with the check of varying values that
  `shard_map` makes by default it was the sum over devices, without a word.
  """
  x = np.random.default_rng(1).normal(size=(M, 4)).astype("f4")

  def of_one(x, shared):
    zeros = jnp.zeros(4)
    return jax.grad(lambda z: (x * (z + 1) ** 2).sum())(zeros)

  np.testing.assert_allclose(layout(name).map(of_one, x), 2 * x, rtol=1e-6)


@pytest.mark.parametrize("name", ["one", "three, uneven"])
def test_nothing_is_exchanged(name):
  tools = layout(name)
  x = tools.place(np.ones((M, 4), np.float32))

  def of_one(state, x, shared):
    return jax.grad(lambda z: (x * (z + 1) ** 2).sum())(jnp.zeros(4))

  text = tools.compile(of_one).lower(None, x, None).compile().as_text()
  assert not any(collective in text for collective in COLLECTIVES)


def test_keys_are_placed_as_keys():
  keys = jax.random.split(jax.random.key(0), M)
  drawn = layout("three, uneven").map(
    lambda key, _: jax.random.uniform(key), keys
  )
  np.testing.assert_array_equal(drawn, jax.vmap(jax.random.uniform)(keys))


def test_a_layout_of_more_models_is_of_the_same_kind():
  for name in LAYOUTS:
    one = layout(name)
    more = one.spread(12)
    assert type(more) is type(one) and more.num_models == 12
    assert more.devices == one.devices and more.automatic == one.automatic
