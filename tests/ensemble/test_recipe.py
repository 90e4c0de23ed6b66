"""Learning rate and optimiser against the published recipe, in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from syndata_jax.ensemble import Recipe
from syndata_jax.ensemble.recipe import (
  learning_rate,
  optimizer,
  steps_per_epoch,
)
from syndata_jax.errors import UserError


def test_the_published_schedule():
  """Warm-up per step over epoch one; times 0.2 at epochs 60, 120, 160."""
  steps = 195
  rate = learning_rate(Recipe(), steps)
  got = [float(rate(k)) for k in range(0, 200 * steps, 13)]
  want = []
  for k in range(0, 200 * steps, 13):
    if k < steps:
      want.append(0.1 * (1 / steps + (1 - 1 / steps) * k / steps))
    else:
      drops = sum(k >= epoch * steps for epoch in (60, 120, 160))
      want.append(0.1 * 0.2**drops)
  np.testing.assert_allclose(got, want, rtol=1e-5)


def test_fewer_epochs_scale_the_drops():
  rate = learning_rate(Recipe(num_epochs=20, warmup_epochs=0), 10)
  assert [
    round(float(rate(k)), 6) for k in (0, 59, 60, 119, 120, 159, 160)
  ] == [
    0.1,
    0.1,
    0.02,
    0.02,
    0.004,
    0.004,
    0.0008,
  ]


def test_cosine_ends_at_zero():
  rate = learning_rate(Recipe(num_epochs=10, schedule="cosine"), 7)
  assert float(rate(7)) == pytest.approx(0.1)
  assert float(rate(70)) == pytest.approx(0, abs=1e-9)
  assert float(rate(7 + 63 // 3)) == pytest.approx(0.075, rel=1e-5)


def test_sgd_with_coupled_decay_and_heavy_ball():
  """PyTorch's SGD: v = 0.9 v + (g + 5e-4 w), then w = w - lr v."""
  recipe = Recipe(num_epochs=3, warmup_epochs=0)
  rule = optimizer(recipe, 2)
  rng = np.random.default_rng(0)
  w = rng.normal(size=5)
  v = np.zeros(5)
  params = jnp.asarray(w, jnp.float32)
  state = rule.init(params)
  for _ in range(2):
    g = rng.normal(size=5)
    update, state = rule.update(jnp.asarray(g, jnp.float32), state, params)
    params = jax.tree.map(jnp.add, params, update)
    v = 0.9 * v + g + 5e-4 * w
    w = w - 0.1 * v
  np.testing.assert_allclose(params, w, rtol=1e-5)


def test_steps_cover_all_examples():
  assert steps_per_epoch(Recipe(batch_size=256), 49_750) == 195
  assert steps_per_epoch(Recipe(batch_size=5), 10) == 2


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"batch_size": 0}, "batch_size=0: must be greater than 0"),
    ({"num_epochs": -1}, "num_epochs=-1"),
    ({"momentum": -0.1}, "momentum=-0.1: must not be negative"),
    ({"schedule": "linear"}, "schedule='linear': must be one of constant"),
  ],
)
def test_mistakes_are_named(fields, message):
  with pytest.raises(UserError, match=message):
    Recipe(**fields)


def test_a_batch_larger_than_the_data():
  with pytest.raises(UserError, match="batch_size=11: must not exceed the 10"):
    steps_per_epoch(Recipe(batch_size=11), 10)
