"""Memory of a device: how many models fit at once, and what if they do not."""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from syndata_jax.ensemble.engine import Engine
from syndata_jax.ensemble.epoch import loss
from syndata_jax.ensemble.layout import Layout
from syndata_jax.errors import UserError

# The rest is the runtime's own, and what allocation in pieces leaves unused.
_USABLE = 0.85


class Footprint(NamedTuple):
  """Bytes that training one model takes."""

  state: int  # as long as the model is on the device
  step: int  # while it takes a step


def footprint(engine: Engine, image_shape: tuple[int, int, int]) -> Footprint:
  """What one model needs, found without compiling anything.

  A step keeps what the backward pass reads: the residuals that
  differentiation saves, as XLA computes them. On top come the gradient, one
  more copy of the parameters, and the two largest residuals once more, for
  the gradients that are under way.

  Args:
    engine: the network, its precision and its recipe.
    image_shape: (H, W, C).
  """
  batch_size = engine.recipe.batch_size
  images = jax.ShapeDtypeStruct((batch_size, *image_shape), jnp.uint8)
  labels = jax.ShapeDtypeStruct((batch_size,), jnp.int32)
  model = jax.eval_shape(
    lambda key: engine.model.init(key, jnp.zeros((1, *image_shape)), False),
    jax.random.key(0),
  )

  def saved(variables, images, labels):
    rest = variables.get("batch_stats", {})
    return jax.vjp(
      lambda p: loss(engine, p, rest, images, labels)[0], variables["params"]
    )[1]

  residuals = [
    _bytes(leaf)
    for leaf in jax.tree.leaves(jax.eval_shape(saved, model, images, labels))
  ]
  params, everything = _bytes(model["params"]), _bytes(model)
  largest = sum(sorted(residuals)[-2:])
  return Footprint(
    state=everything + params,  # and the momentum
    step=sum(residuals) + largest + 2 * params,
  )


def fit(layout: Layout, needs: Footprint, shared: int, capacity: int) -> Layout:
  """The layout with the widest chunk that the device's memory holds.

  All models of a device keep their states there, and those of one chunk take
  a step at once; the pool is there once:

    models x state + chunk x step + pool <= 85% of the memory.

  Args:
    layout: its chunk is the most that is wanted.
    needs: of one model.
    shared: bytes of what all models share.
    capacity: bytes of one device.
  """
  free = _USABLE * capacity - shared - layout.per_device * needs.state
  width = layout.chunk
  while width > 1 and (width * needs.step > free or layout.per_device % width):
    width -= 1
  return dataclasses.replace(layout, chunk=width)


def fit_program(
  layout: Layout,
  lower: Callable[[Layout], jax.stages.Lowered],
  capacity: int | None,
) -> Layout:
  """The same for any program, by the compiler's plan for one model at a time.

  Args:
    layout: its chunk is the most that is wanted.
    lower: lowers the program for a layout.
    capacity: bytes of one device; None leaves the layout as it is.
  """
  if capacity is None or layout.chunk == 1:
    return layout
  one = lower(dataclasses.replace(layout, chunk=1)).compile()
  plan = one.memory_analysis()
  if plan is None:
    return layout
  resident = (compiled_bytes(one) or 0) - plan.temp_size_in_bytes
  needs = Footprint(state=0, step=plan.temp_size_in_bytes)
  return fit(layout, needs, resident, capacity)


def capacity(device: jax.Device) -> int | None:
  """Bytes that JAX may use on a device, None where it does not say."""
  return (device.memory_stats() or {}).get("bytes_limit")


def compiled_bytes(compiled: jax.stages.Compiled) -> int | None:
  """Bytes on one device while a program runs, as the compiler laid them out.

  Unlike the device's own high-water mark it belongs to this program alone.
  """
  plan = compiled.memory_analysis()
  if plan is None:
    return None
  return (
    plan.argument_size_in_bytes
    + plan.output_size_in_bytes
    - plan.alias_size_in_bytes
    + plan.temp_size_in_bytes
  )


@contextlib.contextmanager
def exhaustion(layout: Layout) -> Iterator[None]:
  """Turns a device that runs out of memory into one line for the user."""
  try:
    yield
  except jax.errors.JaxRuntimeError as error:
    if "RESOURCE_EXHAUSTED" not in str(error):
      raise
    device, chunk = layout.devices[0].device_kind, layout.chunk
    raise UserError(
      f"performance.chunk={chunk}: out of memory on {device}; choose"
      f" {chunk // 2} or less"
      if chunk > 1
      else f"batch_size: out of memory on {device} with one model at a time;"
      " choose a smaller one"
    ) from error


def _bytes(tree: Any) -> int:
  return sum(
    math.prod(leaf.shape) * leaf.dtype.itemsize
    for leaf in jax.tree.leaves(tree)
  )
