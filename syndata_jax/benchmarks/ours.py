"""The ensemble engine as a contender: whole epochs of the real program."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from syndata_jax.benchmarks.record import Job, NotRun
from syndata_jax.benchmarks.workload import MEAN, STD, Workload
from syndata_jax.ensemble import Engine, make_layout, state
from syndata_jax.ensemble.epoch import Own, Pool, make_epoch
from syndata_jax.ensemble.flops import peak_flops
from syndata_jax.ensemble.recipe import optimizer
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


def prepare(
  work: Workload, num_models: int, steps: int, devices: list[jax.Device]
) -> Job:
  """M models on their devices; a round is one epoch of `steps` steps."""
  tools = engine(work, num_models, devices)
  sgd, layout = optimizer(tools.recipe, steps), tools.layout
  keys = model_keys(jax.random.key(0), num_models)
  fresh = partial(
    state.init,
    model=tools.model,
    optimizer=sgd,
    image_shape=work.image_shape,
  )
  data = work.data(num_models, steps)
  trained = layout.place(jax.jit(partial(lax.map, fresh))(keys))
  own = layout.place(Own(keys, jnp.asarray(data.members)))
  pool = layout.replicate(Pool(*map(jnp.asarray, data[:2])))
  epoch: Any = layout.compile(make_epoch(tools, sgd, steps), donate=True)
  compiled: jax.stages.Compiled | None = None

  def run() -> None:
    nonlocal trained, compiled
    try:
      if compiled is None:
        compiled = epoch.lower(trained, own, pool).compile()
      trained, metrics = compiled(trained, own, pool)
      jax.block_until_ready((trained, metrics))
    except jax.errors.JaxRuntimeError as error:
      if "RESOURCE_EXHAUSTED" in str(error):
        raise NotRun("out of memory") from error
      raise

  peak = peak_flops(layout.devices[0], tools.dtype)
  return Job(
    run,
    num_models * steps * work.batch_size,
    work.flops,
    peak * len(layout.devices) if peak else None,
    lambda: _planned_bytes(compiled),
  )


def _planned_bytes(compiled: jax.stages.Compiled | None) -> float | None:
  """Bytes on one device while the program runs, as the compiler laid out.

  Unlike the device's own high-water mark it belongs to this program alone.
  """
  plan = compiled.memory_analysis() if compiled else None
  if plan is None:
    return None
  return float(
    plan.argument_size_in_bytes
    + plan.output_size_in_bytes
    - plan.alias_size_in_bytes
    + plan.temp_size_in_bytes
  )
