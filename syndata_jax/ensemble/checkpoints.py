"""Checkpoints that a killed run can trust (Orbax).

Each checkpoint is an Orbax folder named after its epoch, with a list of its
files' SHA-256 sums beside it, written last. A folder without its list was cut
short, one that disagrees with it is damaged; both are passed over, the damaged
one with a warning, for the one before. The newest two are kept, or all of them:
then each model's part can be read alone.
"""

import dataclasses
import hashlib
import os
import pathlib
import shutil
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from absl import logging

from syndata_jax.ensemble import hosts

_KEEP = 2


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
    _open.cache_clear()  # its handles are of files that may be replaced
    if hosts.is_lead():
      for leftover in self.directory.glob(f"{folder.name}.*"):
        _remove(leftover)  # the list, and what a killed save left
    with self._one_model_a_chunk(state) if self.keep_all else nullcontext():
      ocp.save(str(folder.absolute()), _named(state), overwrite=True)
    if not hosts.is_lead():
      return
    written = sums.with_suffix(".part")
    written.write_text(_digest(folder))
    os.replace(written, sums)
    self._tidy(epoch)

  def latest(self, shapes: Any) -> tuple[int, Any] | None:
    """The newest sound checkpoint.

    Args:
      shapes: a pytree of `jax.ShapeDtypeStruct`, the state as it must be.

    Returns:
      (epoch, state of NumPy arrays), or None where there is none.
    """
    from orbax.checkpoint import v1 as ocp

    # A template of the right shape without its memory.
    template = jax.tree.map(
      lambda s: np.broadcast_to(np.zeros((), s.dtype), s.shape), shapes
    )
    for epoch in reversed(self._epochs()):
      folder = self._folder(epoch)
      if not self.sound(epoch):
        logging.warning("%s is damaged; trying the one before", folder)
        continue
      named = ocp.load(str(folder.absolute()), _named(template))
      leaves = [named[str(i)] for i in range(len(named))]
      return epoch, jax.tree.unflatten(jax.tree.structure(shapes), leaves)
    return None

  def sound(self, epoch: int) -> bool:
    """Whether there is a complete, undamaged checkpoint of this epoch."""
    folder, sums = self._folder(epoch), self._sums(epoch)
    if not folder.is_dir() or not sums.exists():
      return False
    return sums.read_text() == _digest(folder)

  def rows(self, epoch: int, leaf: int, index: np.ndarray) -> np.ndarray:
    """A part of one array of a checkpoint, the rest of it unread.

    Args:
      epoch: of a sound checkpoint; `keep_all` makes its parts cheap.
      leaf: the number of the array among the leaves of the state.
      index: i[R], models.

    Returns:
      [R,...], in the order of `index`.
    """
    stored = _open(self._folder(epoch).absolute(), leaf)
    found = [stored[int(row)].read() for row in index]
    return np.stack([part.result() for part in found])

  @staticmethod
  def _one_model_a_chunk(state: Any):
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
    kept = [epoch for epoch in self._epochs() if epoch <= newest]
    if not self.keep_all:
      kept = kept[-_KEEP:]
    stems = {self._folder(epoch).name for epoch in kept}
    # Lists first: without its list, a folder that is half removed is ignored.
    for path in sorted(self.directory.iterdir(), key=lambda p: p.is_dir()):
      if path.name.split(".")[0] not in stems:
        _remove(path)

  def _epochs(self) -> list[int]:
    """Epochs of complete checkpoints, oldest first."""
    return sorted(int(p.stem) for p in self.directory.glob("*.sha256"))

  def _folder(self, epoch: int) -> pathlib.Path:
    return self.directory / f"{epoch:05d}"

  def _sums(self, epoch: int) -> pathlib.Path:
    return self.directory / f"{epoch:05d}.sha256"


@lru_cache(maxsize=256)
def _open(folder: pathlib.Path, leaf: int):
  """The array of Orbax's file, not read yet."""
  import tensorstore

  kvstore = {
    "driver": "ocdbt",
    "base": f"file://{folder}/state",
    "path": f"{leaf}/",
  }
  spec = {"driver": "zarr3", "kvstore": kvstore}
  return tensorstore.open(spec, open=True, read=True).result()


def _remove(path: pathlib.Path) -> None:
  if path.is_dir():
    shutil.rmtree(path, ignore_errors=True)
  else:
    path.unlink(missing_ok=True)


def _named(tree: Any) -> dict[str, Any]:
  # Leaves by number: Orbax drops empty nodes and renames tuples otherwise.
  return {str(i): leaf for i, leaf in enumerate(jax.tree.leaves(tree))}


def _digest(folder: pathlib.Path) -> str:
  """What `sha256sum` prints for every file below the folder."""
  lines = []
  for path in sorted(p for p in folder.rglob("*") if p.is_file()):
    with path.open("rb") as file:
      digest = hashlib.file_digest(file, "sha256").hexdigest()
    lines.append(f"{digest}  {path.relative_to(folder.parent)}\n")
  return "".join(lines)
