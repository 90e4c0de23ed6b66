"""Distillation on a growing pool."""

import data_free_small as tiny
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

from syndata_jax.keys import stream
from syndata_jax.paradigms.data_free import student
from syndata_jax.paradigms.data_free.student import (
  StudentState,
  learning_rate,
  make_epoch,
  shuffled,
)

SETUP = tiny.setup(tiny.options(), learning_rate=0.05, weight_decay=0.01)
TEACHER = tiny.taught(SETUP)
RNG = np.random.default_rng(1)
POOL = RNG.integers(0, 256, (SETUP.pool_size, *small.SHAPE), dtype=np.uint8)


def reference(key, images, epochs):
  """A plain loop: one step after the other, written anew.

  12, 18, 24 images in the three epochs, two passes each, batches of 5; the
  learning rate falls from 0.05 to 0.01 in two epochs and climbs again.
  """
  model = SETUP.student.model
  read = lambda pixels: (pixels / np.float32(255) - 0.5) / 0.25
  fresh = student.init(SETUP, key).model
  params, running = fresh.params, fresh.batch_stats

  def loss(params, running, batch):
    said, changed = model.apply(
      {"params": params, "batch_stats": running},
      batch,
      True,
      mutable=["batch_stats"],
    )
    p = jax.nn.softmax(model.apply(TEACHER, batch, False) / 4)
    ratio = jnp.log(p) - jnp.log(jax.nn.softmax(said / 4))
    return 16 * (p * ratio).sum() / 5, changed["batch_stats"]

  slope_of = jax.jit(jax.value_and_grad(loss, has_aux=True))
  velocity = jax.tree.map(jnp.zeros_like, params)
  losses = []
  for epoch in range(epochs):
    window = 12 + 6 * epoch
    rate = 0.01 + 0.04 * (1 + np.cos(np.pi * epoch / 2)) / 2
    of_epoch = []
    for number in range(2):
      draw = jax.random.fold_in(stream(key, "order"), epoch)
      draw = jax.random.fold_in(draw, number)
      order = np.argsort(jax.random.bits(draw, (len(images),))[:window])
      order = np.concatenate([order, order])
      for start in range(0, window, 5):
        batch = jnp.asarray(read(images[order[start : start + 5]]), jnp.float32)
        (value, running), slope = slope_of(params, running, batch)
        velocity = jax.tree.map(
          lambda v, g, w: 0.9 * v + g + 0.01 * w, velocity, slope, params
        )
        params = jax.tree.map(
          lambda w, v, rate=rate: w - rate * v, params, velocity
        )
        of_epoch.append(float(value))
    losses.append(np.mean(of_epoch))
  return params, running, losses


RUN = jax.jit(make_epoch(SETUP))


def learnt(images, epochs, run=RUN):
  state, told = student.init(SETUP, tiny.KEY), []
  for _ in range(epochs):
    state, metrics = run(state, tiny.KEY, jnp.asarray(images), TEACHER)
    told.append(float(metrics["loss"]))
  return state, told


def test_three_epochs_are_those_of_a_plain_loop():
  """And one compiled program serves all of them, however large the pool."""
  state, losses = learnt(POOL, 3)
  assert RUN._cache_size() == 1
  params, running, wanted = reference(tiny.KEY, POOL, 3)
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
  close(losses, wanted)
  jax.tree.map(close, state.model.params, params)
  jax.tree.map(close, state.model.batch_stats, running)
  # ceil(12 / 5), ceil(18 / 5), ceil(24 / 5) steps, each twice.
  assert state.model.step == 2 * (3 + 4 + 5) and state.epoch == 3


def test_images_of_later_rounds_are_not_met():
  later = POOL.copy()
  later[18:] = 255 - later[18:]
  for epochs, same in ((2, True), (3, False)):
    leaves = [
      jax.tree.leaves(learnt(images, epochs)[0].model.params)
      for images in (POOL, later)
    ]
    equal = [np.array_equal(a, b) for a, b in zip(*leaves, strict=True)]
    assert all(equal) if same else not any(equal)


def test_a_pass_meets_every_image_of_the_window():
  orders = [
    np.asarray(shuffled(jax.random.key(n), 20, jnp.asarray(13)))
    for n in range(50)
  ]
  for order in orders:
    assert sorted(order[:13]) == list(range(13))
    assert sorted(order) == list(range(20))
  firsts = {int(order[0]) for order in orders}
  assert len(firsts) > 8  # of 13, in 50 draws


@pytest.mark.slow
def test_vmapped_students_learn_as_each_does_alone():
  """They count their steps together: nothing is computed to be dropped."""
  keys = jax.random.split(tiny.KEY, 2)
  pools = jnp.asarray(np.stack([POOL, 255 - POOL]))
  begin = jax.vmap(lambda key: student.init(SETUP, key))(keys)
  both = jax.vmap(make_epoch(SETUP), (0, 0, 0, None))
  state, metrics = jax.jit(both)(begin, keys, pools, TEACHER)
  assert state.epoch.tolist() == [1, 1]
  for m in range(2):
    own = jax.tree.map(lambda leaf, m=m: leaf[m], begin)
    alone, told = RUN(own, keys[m], pools[m], TEACHER)
    np.testing.assert_allclose(metrics["loss"][m], told["loss"], rtol=1e-4)
    for a, b in zip(
      jax.tree.leaves(alone.model.params),
      jax.tree.leaves(state.model.params),
      strict=True,
    ):
      np.testing.assert_allclose(a, b[m], rtol=1e-3, atol=1e-5)
  program = jax.make_jaxpr(both)(begin, keys, pools, TEACHER)
  conditions = list(loop_conditions(program.jaxpr))
  assert len(conditions) == 2 and all(c == ["lt"] for c in conditions)


def loop_conditions(jaxpr):
  """Of every while loop, what is computed to know whether it goes on.

  A length that differed by model would make it a reduction over the models.
  """
  for equation in jaxpr.eqns:
    if equation.primitive.name == "while":
      condition = equation.params["cond_jaxpr"].jaxpr
      yield [each.primitive.name for each in condition.eqns]
    for parameter in jax.tree.leaves(
      list(equation.params.values()), is_leaf=lambda p: hasattr(p, "jaxpr")
    ):
      if hasattr(parameter, "jaxpr"):
        yield from loop_conditions(parameter.jaxpr)


def test_the_rate_climbs_again_after_its_floor():
  chosen = tiny.options(cosine_epochs=200, learning_rate_floor=2e-4)
  setup = tiny.setup(chosen, learning_rate=0.1)
  rates = [float(learning_rate(setup, jnp.asarray(n))) for n in range(220)]
  np.testing.assert_allclose(rates[0], 0.1, rtol=1e-6)
  np.testing.assert_allclose(rates[200], 2e-4, rtol=1e-4)
  np.testing.assert_allclose(rates[219], 0.0024, atol=5e-5)
  np.testing.assert_allclose(rates[100], (0.1 + 2e-4) / 2, rtol=1e-5)


def test_the_true_growth_is_told():
  learner = student.learner(SETUP, None)
  assert [learner.images(n) for n in (1, 2, 3)] == [30, 40, 50]
  trial = student.learner(SETUP, None, steps=2)
  assert [trial.images(n) for n in (1, 2, 3)] == [10, 10, 10]


def test_a_trial_takes_its_steps_alone():
  run = jax.jit(make_epoch(SETUP, steps=2))
  state, _ = learnt(POOL, 1, run)
  assert state.model.step == 2


def test_who_does_not_learn_yet_stays():
  begin = student.init(SETUP, tiny.KEY)
  state, metrics = RUN(
    begin, tiny.KEY, jnp.asarray(POOL), TEACHER, jnp.asarray(False)
  )
  assert isinstance(state, StudentState)
  jax.tree.map(np.testing.assert_array_equal, state, begin)
  assert metrics["loss"] == 0
