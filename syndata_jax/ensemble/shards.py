"""The output of a stage, a file a round: never more than a round in memory."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from syndata_jax import files
from syndata_jax.data.training_set import named_leaves


@dataclasses.dataclass(frozen=True)
class Shards:
  """Nested dicts of arrays [M,b,...], those of every round in one file.

  Attributes:
    folder: made on the first save.
    number: of them.
  """

  folder: pathlib.Path
  number: int

  def save(self, number: int, outputs: dict[str, Any]) -> None:
    """Writes the shard of a round; the list that makes it sound comes last."""
    self.folder.mkdir(parents=True, exist_ok=True)
    path, listed = self.paths(number)
    listed.unlink(missing_ok=True)
    with files.write_stream(path) as stream:
      np.savez(stream, **dict(named_leaves(outputs)))
    files.write(listed, _digest(path))

  def sound(self, number: int) -> bool:
    """Whether the shard of a round is complete and undamaged."""
    path, listed = self.paths(number)
    if not path.is_file() or not listed.is_file():
      return False
    return listed.read_text() == _digest(path)

  def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
    """The shards in their order, arrays by path such as `images`."""
    for number in range(1, self.number + 1):
      with np.load(self.paths(number)[0], allow_pickle=False) as archive:
        yield dict(archive)

  def load(
    self, name: str, size: int = 0, path: pathlib.Path | None = None
  ) -> np.ndarray:
    """One array of all rounds, [M,b * rounds,...]; held once, filled in turn.

    Args:
      name: its path in the outputs, such as `images`.
      size: along the second axis, what is beyond it left out; 0 for all.
      path: of an .npy file that is to hold it in the place of memory; None for
        memory.
    """
    start = 0
    whole: np.ndarray | None = None
    for shard in self:
      part = shard[name]
      if whole is None:
        models, each, *rest = part.shape
        size = size or each * self.number
        shape = models, size, *rest
        whole = (
          np.empty(shape, part.dtype)
          if path is None
          else np.lib.format.open_memmap(path, "w+", part.dtype, shape)
        )
      whole[:, start : start + part.shape[1]] = part[:, : max(size - start, 0)]
      start += part.shape[1]
    assert whole is not None
    return whole

  def paths(self, number: int) -> tuple[pathlib.Path, pathlib.Path]:
    """The file of a shard, and the list of its digest."""
    stem = self.folder / f"{number:05d}"
    return stem.with_suffix(".npz"), stem.with_suffix(".npz.sha256")


def _digest(path: pathlib.Path) -> str:
  with path.open("rb") as stream:
    return hashlib.file_digest(stream, "sha256").hexdigest()
