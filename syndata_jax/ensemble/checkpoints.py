"""Checkpoints that a killed run can trust (Orbax).

Each checkpoint is an Orbax folder named after its epoch, with a list of its
files' SHA-256 sums beside it, written last. A folder without its list was cut
short, one that disagrees with it is damaged; both are passed over, the damaged
one with a warning, for the one before. The newest two are kept, or all of them:
then each model's part can be read alone.

Arrays are named by their path in the state, such as `params.Dense_0.kernel`:
fields may change places, and a state of other fields is refused.
"""

import dataclasses
import hashlib
import pathlib
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from absl import logging

from syndata_jax import files
from syndata_jax.ensemble import hosts
from syndata_jax.errors import UserError

_KEEP = 2

# (epoch, name of an array, model) -> its part of the array
ReadPart = Callable[[int, str, int], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Checkpoints:
  """Where one ensemble's checkpoints are.

  Attributes:
    directory: made on the first save.
    every: epochs between two checkpoints; the last epoch always has one.
    keep_all: whether to keep every checkpoint, the fresh state's as epoch 0
      among them, and not the newest two only.
  """

  directory: pathlib.Path
  every: int = 10
  keep_all: bool = False

  def due(self, epoch: int, last: int) -> bool:
    """Whether the state after `epoch` (of `last`) is to be saved."""
    if epoch == 0:
      return self.keep_all
    return epoch == last or epoch % self.every == 0

  def save(self, epoch: int, state: Any) -> None:
    """Writes a pytree of NumPy arrays, then forgets all but the newest.

    Of several processes all call it with the same state, since Orbax makes
    them wait for each other; the lead one writes.
    """
    from orbax.checkpoint import v1 as ocp  # slow to import

    folder = self._folder(epoch)
    sums = self._sums(epoch)
    if hosts.is_lead():
      for leftover in self.directory.glob(f"{folder.name}.*"):
        _remove(leftover)  # the list, and what a killed save left
    with self._one_model_a_chunk(state) if self.keep_all else nullcontext():
      ocp.save(str(folder.absolute()), _named(state), overwrite=True)
    if not hosts.is_lead():
      return
    files.write(sums, _digest(folder))
    self._tidy(epoch)

  def latest(self, shapes: Any) -> tuple[int, Any] | None:
    """The newest sound checkpoint.

    Args:
      shapes: a pytree of `jax.ShapeDtypeStruct`, the state as it must be.

    Returns:
      (epoch, state of NumPy arrays), or None where there is none.

    Raises:
      UserError: it holds another state: other fields, shapes or types.
    """
    from orbax.checkpoint import v1 as ocp

    for epoch in reversed(self.epochs()):
      folder = self._folder(epoch)
      if not self.sound(epoch):
        logging.warning("%s is damaged; trying the one before", folder)
        continue
      wanted, path = _named(shapes), str(folder.absolute())
      _refuse_other(folder, ocp.metadata(path).metadata, wanted)
      # A template of the right shape without its memory.
      arrays = ocp.load(path, jax.tree.map(_blank, wanted))
      leaves = [arrays[name] for name in wanted]
      return epoch, jax.tree.unflatten(jax.tree.structure(shapes), leaves)
    return None

  def sound(self, epoch: int) -> bool:
    """Whether there is a complete, undamaged checkpoint of this epoch."""
    folder, sums = self._folder(epoch), self._sums(epoch)
    if not folder.is_dir() or not sums.exists():
      return False
    return sums.read_text() == _digest(folder)

  def reader(self) -> ReadPart:
    """Reads parts of checkpoints, the rest of them unread.

    `keep_all` makes the part of one model cheap.

    Returns:
      `(epoch of a sound checkpoint, name of an array [M,...], model) -> [...]`;
      it holds the files that it has read from open.
    """

    @lru_cache(maxsize=256)
    def stored(epoch: int, name: str) -> Any:
      return _open(self._folder(epoch).absolute(), name)

    return lambda epoch, name, model: stored(epoch, name)[model].read().result()

  @staticmethod
  def _one_model_a_chunk(state: Any) -> AbstractContextManager:
    """How Orbax is to cut arrays [M,...] so that `rows` reads no more."""
    from orbax.checkpoint import v1 as ocp

    context = ocp.Context()
    saving = context.array.saving
    saving.use_zarr3 = True
    saving.use_compression = False  # weights do not compress
    saving.storage_options.shard_axes = (0,)
    # Orbax advises against smaller chunks.
    saving.storage_options.chunk_byte_size = max(
      1 << 20, *(leaf[0].nbytes for leaf in jax.tree.leaves(state))
    )
    return context

  def _tidy(self, newest: int) -> None:
    """Removes all but the last checkpoints up to `newest`.

    Later ones were damaged, or training would not stand at `newest`; they
    must not push sound ones out. What a kill left half-written goes too.
    """
    kept = [epoch for epoch in self.epochs() if epoch <= newest]
    if not self.keep_all:
      kept = kept[-_KEEP:]
    stems = {self._folder(epoch).name for epoch in kept}
    # Lists first: without its list, a folder that is half removed is ignored.
    for path in sorted(self.directory.iterdir(), key=lambda p: p.is_dir()):
      stem = path.name.split(".")[0]
      if stem.isdigit() and stem not in stems:
        _remove(path)

  def epochs(self) -> list[int]:
    """Epochs of complete checkpoints, oldest first."""
    return sorted(int(p.stem) for p in self.directory.glob("*.sha256"))

  def _folder(self, epoch: int) -> pathlib.Path:
    return self.directory / f"{epoch:05d}"

  def _sums(self, epoch: int) -> pathlib.Path:
    return self.directory / f"{epoch:05d}.sha256"


def _open(folder: pathlib.Path, name: str) -> Any:
  """The array of Orbax's file, not read yet."""
  import tensorstore

  kvstore = {
    "driver": "ocdbt",
    "base": f"file://{folder}/state",
    "path": f"{name}/",
  }
  spec = {"driver": "zarr3", "kvstore": kvstore}
  return tensorstore.open(spec, open=True, read=True).result()


def _remove(path: pathlib.Path) -> None:
  if path.is_dir():
    shutil.rmtree(path, ignore_errors=True)
  else:
    path.unlink(missing_ok=True)


def _named(tree: Any) -> dict[str, Any]:
  """The leaves by path, in the order of the tree."""
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  named = {
    jax.tree_util.keystr(path, simple=True, separator="."): leaf
    for path, leaf in leaves
  }
  if len(named) < len(leaves):
    raise ValueError(f"two arrays of one name among {sorted(named)}")
  return named


def _blank(shape: jax.ShapeDtypeStruct) -> np.ndarray:
  return np.broadcast_to(np.zeros((), shape.dtype), shape.shape)


def _refuse_other(
  folder: pathlib.Path, stored: dict[str, Any], wanted: dict[str, Any]
) -> None:
  """Raises UserError unless names, shapes and types are those wanted."""

  def facts(arrays: dict[str, Any]) -> dict[str, str]:
    return {
      name: f"{np.dtype(array.dtype).name}{list(array.shape)}"
      for name, array in arrays.items()
    }

  there, here = facts(stored), facts(wanted)
  differing = [
    f"{name} is {there.get(name, 'absent')} there and"
    f" {here.get(name, 'absent')} here"
    for name in sorted(there.keys() | here.keys())
    if there.get(name) != here.get(name)
  ]
  if differing:
    more = f" and {len(differing) - 2} more" if len(differing) > 2 else ""
    raise UserError(
      f"{folder}: holds another state ({'; '.join(differing[:2])}{more}); name"
      " another folder"
    )


def _digest(folder: pathlib.Path) -> str:
  """What `sha256sum` prints for every file below the folder."""
  lines = []
  for path in sorted(p for p in folder.rglob("*") if p.is_file()):
    with path.open("rb") as file:
      digest = hashlib.file_digest(file, "sha256").hexdigest()
    lines.append(f"{digest}  {path.relative_to(folder.parent)}\n")
  return "".join(lines)
