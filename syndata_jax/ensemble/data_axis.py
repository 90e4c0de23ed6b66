"""One model on all devices: each takes its part of every batch.

Stages run on it as on a `Layout`, which splits models. Here the only model is
everywhere, and so are its data; the batch is what is split, by the compiler,
which adds the gradients up over the devices. On other devices a sum has
another order, and the result differs by rounding.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from syndata_jax.ensemble.layout import Layout
from syndata_jax.errors import UserError


class DataAxis(Layout):
  """The layout of one model, M = 1. Make it with `make_data_axis`."""

  @property
  def mesh(self) -> jax.sharding.Mesh:
    """One axis, `data`."""
    return jax.make_mesh(
      (len(self.devices),),
      ("data",),
      axis_types=(AxisType.Auto,),
      devices=self.devices,
    )

  def split(self, batch: jax.Array) -> jax.Array:
    """Says inside a program that an array [B,...] is split over the devices.

    Said of the rows of a batch, it holds for all that is computed of them.
    """
    return lax.with_sharding_constraint(batch, self._sharding("data"))

  def place(self, tree: Any) -> Any:
    """Copies a tree of arrays [1,...] to every device."""
    return self.replicate(tree)

  def gather(self, tree: Any) -> Any:
    """NumPy arrays [1,...]: every device has them whole."""
    return jax.tree.map(lambda leaf: np.asarray(jax.device_get(leaf)), tree)

  def compile(
    self, function: Callable, donate: bool = False, vectorised: bool = True
  ) -> jax.stages.Wrapped:
    """Compiles a function of the model for all devices; see `Layout.compile`.

    Args:
      function: called as `function(state, data, shared)`.
      donate: whether the buffers of `state` may be reused.
      vectorised: without meaning for one model.
    """
    del vectorised

    def run(state: Any, data: Any, shared: Any) -> Any:
      state, data = jax.tree.map(lambda leaf: leaf[0], (state, data))
      result = function(state, data, shared)
      return jax.tree.map(lambda leaf: leaf[None], result)

    return jax.jit(
      run,
      out_shardings=self._sharding(),
      donate_argnums=(0,) if donate else (),
    )

  def _sharding(self, *axes: str) -> NamedSharding:
    return NamedSharding(self.mesh, P(*axes))


def make_data_axis(
  batch_size: int, devices: Sequence[jax.Device] | None = None
) -> DataAxis:
  """Splits batches over devices.

  Args:
    batch_size: B. Of the devices of one process as many are used as divide it.
    devices: default all, those of other processes included.

  Raises:
    UserError: the devices of several processes do not divide the batch.
  """
  available = tuple(devices or jax.devices())
  used = len(available)
  while batch_size % used:
    used -= 1
  several = len({device.process_index for device in available}) > 1
  if several and used < len(available):
    raise UserError(
      f"batch_size={batch_size}: must be a multiple of {len(available)}, the"
      " devices of all processes"
    )
  return DataAxis(1, available[:used], 1)
