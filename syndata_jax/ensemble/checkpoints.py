"""Checkpoints that a killed run can trust (Orbax).

Each checkpoint is an Orbax folder named after its epoch, with a list of its
files' SHA-256 sums beside it, written last. A folder without its list was cut
short, one that disagrees with it is damaged; both are passed over, the damaged
one with a warning, for the one before. The newest two are kept.
"""

import dataclasses
import hashlib
import os
import pathlib
import shutil
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
  """

  directory: pathlib.Path
  every: int = 10

  def due(self, epoch: int, last: int) -> bool:
    """Whether the state after `epoch` (of `last`) is to be saved."""
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
      if not folder.is_dir() or self._sums(epoch).read_text() != _digest(
        folder
      ):
        logging.warning("%s is damaged; trying the one before", folder)
        continue
      named = ocp.load(str(folder.absolute()), _named(template))
      leaves = [named[str(i)] for i in range(len(named))]
      return epoch, jax.tree.unflatten(jax.tree.structure(shapes), leaves)
    return None

  def _tidy(self, newest: int) -> None:
    """Removes all but the last checkpoints up to `newest`.

    Later ones were damaged, or training would not stand at `newest`; they
    must not push sound ones out. What a kill left half-written goes too.
    """
    kept = [epoch for epoch in self._epochs() if epoch <= newest][-_KEEP:]
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
