"""The ensemble engine as a contender: whole epochs of the real program."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from syndata_jax.benchmarks.compilation import twice
from syndata_jax.benchmarks.peak import peak
from syndata_jax.benchmarks.record import Job, NotRun
from syndata_jax.benchmarks.workload import MEAN, STD, Workload
from syndata_jax.ensemble import Engine, make_layout, state
from syndata_jax.ensemble.epoch import Own, Pool, make_epoch
from syndata_jax.ensemble.memory import compiled_bytes
from syndata_jax.ensemble.recipe import optimizer
from syndata_jax.ensemble.state import EnsembleState
from syndata_jax.ensemble.train import model_keys


def engine(
  work: Workload, num_models: int, devices: list[jax.Device]
) -> Engine:
  """The engine that an audit of this workload would use."""
  channels = work.image_shape[-1]
  return Engine(
    work.network(),
    work.recipe,
    make_layout(num_models, devices=devices),
    (MEAN,) * channels,
    (STD,) * channels,
    jnp.dtype(work.precision),
  )


class Task(NamedTuple):
  """What M models train on, not on their devices yet."""

  epoch: Callable[..., Any]  # (state, own, pool) of one model
  start: EnsembleState  # leaves [M,...]
  own: Own  # leaves [M,...]
  pool: Pool


def task(tools: Engine, work: Workload, steps: int) -> Task:
  """Epochs of `steps` steps; equal arguments give equal weights and data."""
  sgd, num_models = optimizer(tools.recipe, steps), tools.layout.num_models
  keys = model_keys(jax.random.key(0), num_models)
  fresh = partial(
    state.init,
    model=tools.model,
    optimizer=sgd,
    image_shape=work.image_shape,
  )
  data = work.data(num_models, steps)
  return Task(
    make_epoch(tools, sgd, steps),
    jax.jit(partial(lax.map, fresh))(keys),
    Own(keys, jnp.asarray(data.members)),
    Pool(*map(jnp.asarray, data[:2])),
  )


def prepare(
  work: Workload, num_models: int, steps: int, devices: list[jax.Device]
) -> Job:
  """M models on their devices; a round is one epoch of `steps` steps."""
  tools = engine(work, num_models, devices)
  return job(work, tools, steps, task(tools, work, steps))


def job(work: Workload, tools: Engine, steps: int, made: Task) -> Job:
  """A round is one epoch of the task."""
  layout = tools.layout
  trained, own = layout.place(made.start), layout.place(made.own)
  pool = layout.replicate(made.pool)

  def lower() -> jax.stages.Lowered:
    epoch: Any = layout.compile(made.epoch, donate=True)
    return epoch.lower(trained, own, pool)

  compiled, compilation = guarded(partial(twice, lower))

  def run() -> None:
    nonlocal trained
    trained, metrics = compiled(trained, own, pool)
    jax.block_until_ready((trained, metrics))

  return Job(
    lambda: guarded(run),
    layout.num_models * steps * work.batch_size,
    work.flops,
    peak(layout.devices, tools.dtype),
    lambda: compiled_bytes(compiled),
    compilation,
  )


def guarded(function: Callable[[], Any]) -> Any:
  """The function's result; running out of memory is `NotRun`."""
  try:
    return function()
  except jax.errors.JaxRuntimeError as error:
    if "RESOURCE_EXHAUSTED" in str(error):
      raise NotRun("out of memory") from error
    raise
