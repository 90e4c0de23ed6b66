"""Files that are there whole or not at all.

What is written goes to an unfinished file beside its target, reaches the disk
and then takes the target's name, in one step of the file system. Who reads a
target therefore never sees a part of it, whenever the writer was killed. Equal
content gives equal bytes.
"""

import contextlib
import json
import os
import pathlib
import secrets
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np

from syndata_jax.errors import UserError

Path = str | os.PathLike[str]

_SUFFIX = ".unfinished"

# Permissions of a file that its owner alone may read.
PRIVATE = 0o600
COMMON = 0o666  # less what the umask takes away


@contextlib.contextmanager
def write_stream(path: Path, permissions: int = COMMON) -> Iterator[BinaryIO]:
  """An open file whose content becomes `path` when the block ends.

      with files.write_stream(path) as stream:
        np.savez(stream, **arrays)

  What is written goes straight to disk: nothing is held in memory. If the block
  raises, `path` stays as it was. Several processes may write one target; the
  last to finish decides.

  Args:
    path: of the file.
    permissions: of the file from its first byte on, less those of the umask:
      `PRIVATE` where nobody but its owner may read it.

  Yields:
    A binary file, seekable.

  Raises:
    OSError: the folder cannot be written, or the disk is full.
  """
  target = pathlib.Path(path)
  # Of its own for each writer: two of them must not share one. Beside the
  # target, since a rename is atomic within one file system only.
  token = f"{os.getpid()}-{secrets.token_hex(4)}"
  unfinished = target.with_name(f".{target.name}.{token}{_SUFFIX}")
  try:
    opener = lambda name, flags: os.open(name, flags, permissions)
    with open(unfinished, "xb", opener=opener) as stream:
      yield stream
      stream.flush()
      os.fsync(stream.fileno())
    os.replace(unfinished, target)
  finally:
    unfinished.unlink(missing_ok=True)


def write(path: Path, content: bytes | str, permissions: int = COMMON) -> None:
  """Writes a file whole; text as UTF-8. Otherwise as `write_stream`."""
  with write_stream(path, permissions) as stream:
    stream.write(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, value: Any) -> None:
  """Writes JSON whole, indented by two. Raises as `write_stream`."""
  write(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
  """The value in a JSON file.

  Raises:
    UserError: the file cannot be read, or is damaged.
  """
  try:
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
  except OSError as error:
    raise UserError(f"{path}: cannot be read ({error.strerror})") from error
  except ValueError as error:
    raise UserError(f"{path}: damaged ({error}); delete it") from error


def read_arrays(
  path: Path, wanted: Callable[[str], bool] = lambda name: True
) -> dict[str, np.ndarray]:
  """The arrays of an .npz file, in its order; nothing in it is unpickled.

  Args:
    path: the file.
    wanted: says by its name whether to read an array.

  Raises:
    UserError: the file cannot be read, is no .npz, is damaged, or a wanted
      array holds objects.
  """
  try:
    with pathlib.Path(path).open("rb") as stream:
      archive = np.load(stream, allow_pickle=False)
      return {name: archive[name] for name in archive.files if wanted(name)}
  except OSError as error:
    reason = error.strerror or type(error).__name__
    raise UserError(f"{path}: {reason}: an .npz file needed") from error
  # Damaged bytes raise nearly anything: the readers of zip archives, of array
  # headers and of pickles (refused) each have their own exceptions.
  except Exception as error:
    raise UserError(
      f"{path}: damaged, or not an .npz archive of plain arrays "
      f"({type(error).__name__}): a file written by numpy.savez needed"
    ) from error


def read_folder(
  folder: Path, wanted: Callable[[str], bool] = lambda name: True
) -> dict[str, np.ndarray]:
  """The arrays of a folder's .npy files, each under the name of its file.

  Args:
    folder: where they are.
    wanted: says by its name whether to read an array.

  Raises:
    UserError: the folder or a wanted file cannot be read, is damaged, or
      holds objects.
  """
  arrays = {}
  for path in sorted(pathlib.Path(folder).glob("*.npy")):
    if wanted(path.stem):
      try:
        arrays[path.stem] = np.load(path, allow_pickle=False)
      # As above: damaged bytes raise nearly anything.
      except Exception as error:
        raise UserError(
          f"{path}: damaged, or no array of numbers ({type(error).__name__}):"
          " a file written by numpy.save needed"
        ) from error
  return arrays


def is_unfinished(path: Path) -> bool:
  """Whether the name is that of a file whose writer was killed."""
  name = pathlib.PurePath(path).name
  return name.startswith(".") and name.endswith(_SUFFIX)
