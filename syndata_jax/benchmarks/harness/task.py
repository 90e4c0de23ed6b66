"""Compiled rounds of many models as a contender: the real program, timed."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from syndata_jax.benchmarks.harness.compilation import twice
from syndata_jax.benchmarks.harness.peak import peak
from syndata_jax.benchmarks.harness.record import Job, NotRun
from syndata_jax.benchmarks.harness.workload import MEAN, STD, Workload
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import (
  Engine,
  Layout,
  Learner,
  Rounds,
  make_layout,
  sgd,
)
from syndata_jax.ensemble import training as rounds_of
from syndata_jax.ensemble.memory import compiled_bytes
from syndata_jax.ensemble.stages import place


class Task(NamedTuple):
  """Rounds of M models, not placed yet."""

  layout: Layout
  rounds: Rounds


def engine(
  work: Workload, num_models: int, devices: Sequence[jax.Device]
) -> Engine:
  """The engine that an audit of this workload would use."""
  channels = work.image_shape[-1]
  return Engine(
    work.network(),
    work.recipe,
    make_layout(num_models, devices=list(devices)),
    (MEAN,) * channels,
    (STD,) * channels,
    jnp.dtype(work.precision),
  )


def task(layout: Layout, learner: Learner, data: TrainingSet) -> Task:
  """Epochs of a learner; equal arguments give equal weights and batches."""
  return Task(layout, rounds_of(learner, jax.random.key(0), data))


def undefended(
  work: Workload, num_models: int, steps: int, devices: Sequence[jax.Device]
) -> Job:
  """Plain SGD: a round trains all models for an epoch.

  Args:
    work: what they learn.
    num_models: M.
    steps: of an epoch.
    devices: over which the models are split.
  """
  tools = engine(work, num_models, devices)
  return training(work, tools, steps, partial(sgd, tools))


def training(
  work: Workload,
  tools: Engine,
  steps: int,
  make_learner: Callable[[TrainingSet], Learner],
) -> Job:
  """The same with any learner.

  Args:
    work: what the models learn.
    tools: from `engine`.
    steps: of an epoch.
    make_learner: how they learn, given the workload's data.
  """
  layout = tools.layout
  data = work.data(layout.num_models, steps)
  timed = job(
    task(layout, make_learner(data), data),
    layout.num_models * steps * work.batch_size,
  )
  best = peak(layout.devices, tools.dtype)
  return timed._replace(flops=work.flops, peak_flops=best)


def job(work: Task, units: float) -> Job:
  """Rounds of the task one after another, each so many units of work."""
  placed = place(*work)
  state = placed.init(None, placed.own, placed.shared)
  data = placed.fed(work.rounds, 1)

  def lower() -> jax.stages.Lowered:
    run = placed.layout.compile(placed.program, donate=True)
    return run.lower(state, data, placed.shared)

  compiled, compilation = guarded(partial(twice, lower))

  def run() -> None:
    nonlocal state
    state, metrics, _ = compiled(state, data, placed.shared)
    jax.block_until_ready((state, metrics))

  return Job(
    lambda: guarded(run),
    units,
    peak_bytes=lambda: compiled_bytes(compiled),
    compilation=compilation,
  )


def guarded(function: Callable[[], Any]) -> Any:
  """The function's result; running out of memory is `NotRun`."""
  try:
    return function()
  except jax.errors.JaxRuntimeError as error:
    if "RESOURCE_EXHAUSTED" in str(error):
      raise NotRun("out of memory") from error
    raise
