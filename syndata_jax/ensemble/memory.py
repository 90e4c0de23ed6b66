"""Memory of a device: how many models fit at once, and what if they do not."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import jax

from syndata_jax.ensemble import hosts
from syndata_jax.ensemble.layout import Layout
from syndata_jax.errors import UserError

# The rest is the runtime's own, and what allocation in pieces leaves unused.
_USABLE = 0.85


def fitted(
  layout: Layout, lower: Callable[[Layout], jax.stages.Lowered]
) -> Layout:
  """The layout with as many models at once as the device's memory holds.

  All models of a device keep their states and data there, and those of one
  chunk take a step at once. What a step needs is in the compiler's plan of the
  very program that will run, made for one model at a time:

    arguments and results + chunk x temporary <= 85% of the memory.

  Args:
    layout: its chunk is the most that is wanted; one that was chosen by hand
      stays.
    lower: lowers the program for a layout.

  Raises:
    UserError: processes whose devices hold different numbers of models.
  """
  limit = capacity(hosts.first_local(layout.devices))
  if limit is None or layout.chunk == 1 or not layout.automatic:
    return layout
  one = lower(dataclasses.replace(layout, chunk=1)).compile()
  plan = one.memory_analysis()
  if plan is None:
    return layout
  resident = (compiled_bytes(one) or 0) - plan.temp_size_in_bytes
  free = _USABLE * limit - resident
  width = layout.chunk
  while width > 1 and (
    width * plan.temp_size_in_bytes > free or layout.per_device % width
  ):
    width -= 1
  hosts.agree(width, "the models at once that their devices' memory holds")
  return dataclasses.replace(layout, chunk=width)


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
