"""Which model runs where: devices, chunks, and the axis M.

Models are split over the devices of one mesh axis; on each device a loop runs
over chunks, and inside a chunk the models are vmapped. Nothing is exchanged
between devices, so the compiled program holds no collective.

    devices (shard_map or pmap)  >  chunks (lax.map)  >  models (vmap)

No function outside this package is written over M.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import multihost_utils
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from syndata_jax.errors import UserError

AXES = ("shard_map", "pmap")

# On a CPU one model at a time trains fastest: its activations stay in the cache
# (measured from 1 to 32 models), and compilation takes time with the width.
_CPU_CHUNK = 1


@dataclasses.dataclass(frozen=True)
class Layout:
  """Where M models live. Make it with `make_layout`.

  Attributes:
    num_models: M.
    devices: the D devices in use.
    chunk: models vmapped at once on one device; divides `per_device`.
    automatic: whether a stage may take fewer at once than `chunk`, where its
      program needs more memory than the device has.
  """

  num_models: int
  devices: tuple[jax.Device, ...]
  chunk: int
  automatic: bool = False

  @property
  def per_device(self) -> int:
    """Models on each device, the repeated ones that fill up included."""
    return -(-self.num_models // len(self.devices))

  @property
  def mesh(self) -> jax.sharding.Mesh:
    """One axis, `models`."""
    return jax.make_mesh(
      (len(self.devices),),
      ("models",),
      axis_types=(AxisType.Auto,),
      devices=self.devices,
    )

  def spread(self, num_models: int) -> "Layout":
    """The same kind of layout for another number of models."""
    chunk = 0 if self.automatic else self.chunk
    return _laid_out(type(self), num_models, chunk, self.devices)

  def place(self, tree: Any) -> Any:
    """Splits a tree of arrays [M,...] over the devices.

    Each device is sent the parts of its own models, and nothing else. Where M
    does not fill the devices evenly, the last model is repeated; its copies
    train along and `gather` drops them.

    Args:
      tree: NumPy arrays, memory-mapped ones among them, or typed keys.
    """
    index = self._slots()

    def split(array: np.ndarray) -> jax.Array:
      # Each process copies the models of its own devices, and no others.
      def part(where: tuple[slice, ...] | None) -> np.ndarray:
        return array[index[where[: index.ndim]]] if where else array[index]

      shape = (*index.shape, *array.shape[1:])
      return jax.make_array_from_callback(shape, self._sharding("models"), part)

    return _on_host(split, tree)

  def replicate(self, tree: Any) -> Any:
    """Copies a tree of NumPy arrays, shared by all models, to every device."""

    def copy(array: np.ndarray) -> jax.Array:
      return jax.make_array_from_callback(
        array.shape, self._sharding(), array.__getitem__
      )

    return _on_host(copy, tree)

  def gather(self, tree: Any) -> Any:
    """The inverse of `place`: NumPy arrays [M,...] on every process."""
    if jax.process_count() > 1:
      tree = multihost_utils.process_allgather(tree, tiled=True)
    return jax.tree.map(self._collect, tree)

  def compile(
    self, function: Callable, donate: bool = False, vectorised: bool = True
  ) -> jax.stages.Wrapped:
    """Compiles a function of one model into a function of all of them.

    Args:
      function: called as `function(state, data, shared)` with one model's
        `state` and `data` and what all share; returns a pytree of arrays.
      donate: whether the buffers of `state` may be reused for the result.
      vectorised: False to take the models of a device one after another, for
        what is done once: a loop compiles faster than a wide program.

    Returns:
      A compiled function of placed states, placed data and replicated shared
      values; its results are placed.
    """

    def on_device(state: Any, data: Any, shared: Any) -> Any:
      one = lambda model: function(*model, shared)
      if not vectorised:
        return lax.map(one, (state, data))
      return _over_chunks(one, self.chunk)((state, data))

    return self._split(on_device, (0,) if donate else ())

  def map(self, function: Callable, data: Any, shared: Any = None) -> Any:
    """Applies a function of one model to all of them, once.

    Args:
      function: called as `function(data, shared)` with one model's `data` and
        what all share; returns a pytree of arrays.
      data: NumPy arrays or typed keys, leaves [M,...].
      shared: NumPy arrays.

    Returns:
      NumPy arrays [M,...].
    """
    run = self.compile(lambda _, data, shared: function(data, shared))
    return self.gather(run(None, self.place(data), self.replicate(shared)))

  def _slots(self) -> np.ndarray:
    """The model in every place, i[D * per_device]."""
    total = self.per_device * len(self.devices)
    return np.minimum(np.arange(total), self.num_models - 1)

  def _collect(self, array: jax.Array | np.ndarray) -> np.ndarray:
    return np.asarray(jax.device_get(array))[: self.num_models]

  def _split(
    self, on_device: Callable, donated: tuple[int, ...]
  ) -> jax.stages.Wrapped:
    # Nothing crosses devices, so there is nothing for the check of varying
    # values to protect. With it, constants made inside would count as shared
    # and gradients by them would silently be summed over all models.
    split = jax.shard_map(
      on_device,
      mesh=self.mesh,
      in_specs=(P("models"), P("models"), P()),
      out_specs=P("models"),
      check_vma=False,
    )
    return jax.jit(split, donate_argnums=donated)

  def _sharding(self, *axes: str) -> NamedSharding:
    return NamedSharding(self.mesh, P(*axes))


class PmapLayout(Layout):
  """The same on `pmap`, which `shard_map` has replaced; one process alone.

  Its arrays carry an axis of devices in front, also where they are shared.
  """

  def _slots(self) -> np.ndarray:
    return super()._slots().reshape(len(self.devices), self.per_device)

  def replicate(self, tree: Any) -> Any:
    """See `Layout.replicate`."""
    sharding = self._sharding("models")

    def copy(array: np.ndarray) -> jax.Array:
      array = np.broadcast_to(array, (len(self.devices), *array.shape))
      return jax.make_array_from_callback(
        array.shape, sharding, array.__getitem__
      )

    return _on_host(copy, tree)

  def _collect(self, array: jax.Array | np.ndarray) -> np.ndarray:
    whole = np.asarray(jax.device_get(array))
    return whole.reshape(-1, *whole.shape[2:])[: self.num_models]

  def _split(
    self, on_device: Callable, donated: tuple[int, ...]
  ) -> jax.stages.Wrapped:
    return jax.pmap(on_device, devices=self.devices, donate_argnums=donated)


def make_layout(
  num_models: int,
  device_axis: str = "shard_map",
  chunk: int = 0,
  devices: Sequence[jax.Device] | None = None,
) -> Layout:
  """Spreads models over devices.

  Args:
    num_models: M.
    device_axis: one of `AXES`.
    chunk: models vmapped at once on a device, rounded down to a divisor of
      the models on a device; 0 for the backend's default, which every stage
      lowers to what its memory allows.
    devices: default all, those of other processes included; never more than
      M are used.

  Raises:
    UserError: an unknown device axis, one that cannot span processes, a
      negative chunk, or fewer models than devices of several processes.
  """
  if device_axis not in AXES:
    raise UserError(
      f"--device_axis={device_axis}: must be one of {', '.join(AXES)}"
    )
  if chunk < 0:
    raise UserError(f"performance.chunk={chunk}: must be 0 (automatic) or more")
  available = tuple(devices or jax.devices())
  if len({device.process_index for device in available}) > 1:
    if device_axis == "pmap":
      raise UserError(
        "--device_axis=pmap: must be shard_map where several processes share"
        " the models"
      )
    if num_models < len(available):
      raise UserError(
        f"num_models={num_models}: must be at least {len(available)}, one for"
        " each device of all processes"
      )
  kind = PmapLayout if device_axis == "pmap" else Layout
  return _laid_out(kind, num_models, chunk, available)


def _laid_out(
  kind: type[Layout],
  num_models: int,
  chunk: int,
  available: tuple[jax.Device, ...],
) -> Layout:
  used = available[:num_models]
  per_device = -(-num_models // len(used))
  default = _CPU_CHUNK if used[0].platform == "cpu" else per_device
  width = min(chunk or default, per_device)
  while per_device % width:
    width -= 1
  return kind(num_models, used, width, automatic=not chunk)


def _on_host(function: Callable[[np.ndarray], jax.Array], tree: Any) -> Any:
  """Maps over the leaves as NumPy arrays; typed keys go as their words."""

  def on_leaf(leaf: Any) -> jax.Array:
    if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      return function(np.asarray(leaf))
    words = function(np.asarray(jax.random.key_data(leaf)))
    return jax.random.wrap_key_data(words, impl=jax.random.key_impl(leaf))

  return jax.tree.map(on_leaf, tree)


def _over_chunks(function: Callable, chunk: int) -> Callable:
  """Vmap in chunks: [m,...] -> [m,...], `chunk` divides m."""

  def run(tree: Any) -> Any:
    m = jax.tree.leaves(tree)[0].shape[0]
    if m == chunk:
      return jax.vmap(function)(tree)
    cut = jax.tree.map(
      lambda a: a.reshape(m // chunk, chunk, *a.shape[1:]), tree
    )
    result = lax.map(jax.vmap(function), cut)
    return jax.tree.map(lambda a: a.reshape(m, *a.shape[2:]), result)

  return run
