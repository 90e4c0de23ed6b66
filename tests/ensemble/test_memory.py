"""Predicted memory against the compiler's plan, and the rule for chunks."""

import dataclasses

import ensembles
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import Engine, Recipe, make_layout, memory, sgd
from syndata_jax.ensemble.memory import Footprint
from syndata_jax.ensemble.train import prepare
from syndata_jax.errors import UserError
from syndata_jax.models import create


def planned(engine, images, members):
  """Bytes of the compiled epoch beside its arguments, and all of them."""
  count = engine.layout.num_models
  data = TrainingSet(
    np.zeros((8, *images), np.uint8),
    np.zeros(8, np.int32),
    np.zeros((count, members), np.int32),
  )
  key = jax.random.key(0)
  run, fresh, _, own, pool = prepare(
    engine.layout, sgd(engine, data), key, data
  )
  compiled = run.lower(engine.layout.place(fresh()), own, pool).compile()
  plan = compiled.memory_analysis()
  return plan.temp_size_in_bytes, memory.compiled_bytes(compiled)


@pytest.mark.parametrize(
  ("model", "options"),
  [("convnet", {"width": 8}), ("resnet18", {"width": 4})],
)
def test_the_footprint_is_near_what_the_compiler_plans(model, options):
  shape = (16, 16, 3)
  engine = Engine(
    create(model, 10, **options),
    Recipe(batch_size=64),
    make_layout(1, devices=jax.devices()[:1]),
    (0.5,) * 3,
    (0.25,) * 3,
    jnp.dtype("float32"),
  )
  needs = memory.footprint(engine, shape)
  temporary, total = planned(engine, shape, 128)
  assert 0.5 < needs.step / temporary < 2.5
  assert needs.state < total


def test_a_larger_batch_needs_more():
  engine = ensembles.engine(2)
  double = engine._replace(
    recipe=dataclasses.replace(engine.recipe, batch_size=14)
  )
  one, two = (memory.footprint(e, ensembles.SHAPE) for e in (engine, double))
  assert two.state == one.state
  assert one.step < two.step < 2 * one.step


@pytest.mark.parametrize(
  ("capacity", "chunk"),
  # 85% of the capacity, less 10 for the pool and 8 x 5 for the states, is
  # shared by the models of a chunk, 20 each.
  [(1000, 8), (248, 8), (247, 4), (153, 4), (152, 2), (83, 1), (1, 1)],
)
def test_the_widest_chunk_that_fits(capacity, chunk):
  layout = make_layout(8, chunk=8, devices=jax.devices()[:1])
  needs = Footprint(state=5, step=20)
  assert memory.fit(layout, needs, 10, capacity).chunk == chunk


def test_a_chunk_that_was_asked_for_is_the_most():
  layout = make_layout(8, chunk=2, devices=jax.devices()[:1])
  assert memory.fit(layout, Footprint(1, 1), 0, 10**9).chunk == 2


@pytest.mark.parametrize(
  ("chunk", "message"),
  [
    (8, r"performance.chunk=8: out of memory on cpu; choose 4 or less"),
    (1, r"batch_size: out of memory on cpu with one model at a time"),
  ],
)
def test_running_out_of_memory_is_one_line(chunk, message):
  """A real allocation that fails: more than any machine has."""
  layout = make_layout(8, chunk=chunk, devices=jax.devices()[:1])
  with pytest.raises(UserError, match=message), memory.exhaustion(layout):
    jax.block_until_ready(jnp.zeros(1 << 50, jnp.float32))


def test_other_failures_stay_what_they_are():
  layout = make_layout(8, devices=jax.devices()[:1])
  with (
    pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"),
    memory.exhaustion(layout),
  ):
    raise jax.errors.JaxRuntimeError("INTERNAL: something else")
