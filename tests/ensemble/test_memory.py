"""How many models fit at once, by the plan of the program that runs."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import pytest
import small

from syndata_jax import models
from syndata_jax.ensemble import make_layout, memory, sgd, training
from syndata_jax.ensemble.stages import place
from syndata_jax.errors import UserError
from syndata_jax.paradigms import dpsgd
from syndata_jax.paradigms.dpsgd.learner import private_sgd

M = 8
KEY = jax.random.key(0)


def plan(arguments, temporary):
  """A program whose compiler says what it needs for one model at a time."""
  analysis = types.SimpleNamespace(
    argument_size_in_bytes=arguments,
    output_size_in_bytes=0,
    alias_size_in_bytes=0,
    temp_size_in_bytes=temporary,
  )
  compiled = types.SimpleNamespace(memory_analysis=lambda: analysis)
  return types.SimpleNamespace(compile=lambda: compiled)


def layout(automatic=True):
  """All eight models of one device at once, if they fit."""
  one = make_layout(M, chunk=M, devices=jax.devices()[:1])
  return dataclasses.replace(one, automatic=automatic)


@pytest.mark.parametrize(
  ("capacity", "chunk"),
  # 85% of the capacity, less 50 for what stays, is shared by the models of a
  # chunk, 20 each.
  [(1000, 8), (248, 8), (247, 4), (153, 4), (152, 2), (83, 1), (1, 1)],
)
def test_the_widest_chunk_that_fits(monkeypatch, capacity, chunk):
  monkeypatch.setattr(memory, "capacity", lambda device: capacity)
  asked = []

  def lower(one):
    asked.append(one.chunk)
    return plan(50, 20)

  assert memory.fitted(layout(), lower).chunk == chunk
  assert asked == [1]


def test_a_chunk_that_was_asked_for_stays(monkeypatch):
  monkeypatch.setattr(memory, "capacity", lambda device: 1)
  asked = layout(automatic=False)
  assert memory.fitted(asked, lambda one: plan(50, 20)) == asked


def tools():
  """A network that compiles fast."""
  network = models.create("convnet", small.CLASSES, width=2, depth=1)
  return small.engine(M)._replace(model=network)


def enough(learner, data):
  """The least memory with which all models of a learner run at once."""
  run, arguments = small.prepared(
    dataclasses.replace(layout(), chunk=1), learner, data, KEY
  )
  compiled = run.lower(*arguments).compile()
  temporary = compiled.memory_analysis().temp_size_in_bytes
  resident = memory.compiled_bytes(compiled) - temporary
  return (resident + M * temporary) / 0.85 + 1


def chunk(learner, data):
  return place(layout(), training(learner, KEY, data)).layout.chunk


@pytest.mark.slow
def test_every_stage_is_fitted_to_its_own_program(monkeypatch):
  """A batch twice as large does not fit, by the real compiler's plan."""
  engine, data = tools(), small.training_set(M)

  def learner(batch):
    recipe = dataclasses.replace(engine.recipe, batch_size=batch)
    return sgd(engine._replace(recipe=recipe), data)

  capacity = enough(learner(12), data)
  monkeypatch.setattr(memory, "capacity", lambda device: capacity)
  assert chunk(learner(12), data) == M
  assert chunk(learner(24), data) < M


@pytest.mark.slow
def test_private_training_is_held_for_its_microbatch(monkeypatch):
  """An expected batch of all 24 examples, two of which are held at once."""
  engine, data = tools(), small.training_set(M)
  recipe = dataclasses.replace(engine.recipe, batch_size=24)
  engine = engine._replace(recipe=recipe)
  options = dpsgd.Options(
    noise_multiplier=1.0,
    delta=1e-3,
    augmentation_multiplicity=1,
    microbatch=2,
  )
  mechanism = dpsgd.mechanism(options, recipe, 24)
  private = private_sgd(engine, options, mechanism, data)
  capacity = enough(private, data)
  monkeypatch.setattr(memory, "capacity", lambda device: capacity)
  assert chunk(private, data) == M
  assert chunk(sgd(engine, data), data) < M


@pytest.mark.parametrize(
  ("chunk", "message"),
  [
    (8, r"performance.chunk=8: out of memory on cpu; choose 4 or less"),
    (1, r"batch_size: out of memory on cpu with one model at a time"),
  ],
)
def test_running_out_of_memory_is_one_line(chunk, message):
  """A real allocation that fails: more than any machine has."""
  asked = make_layout(M, chunk=chunk, devices=jax.devices()[:1])
  with pytest.raises(UserError, match=message), memory.exhaustion(asked):
    jax.block_until_ready(jnp.zeros(1 << 50, jnp.float32))


def test_other_failures_stay_what_they_are():
  with (
    pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"),
    memory.exhaustion(layout()),
  ):
    raise jax.errors.JaxRuntimeError("INTERNAL: something else")
