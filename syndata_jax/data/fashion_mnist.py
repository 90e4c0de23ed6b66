"""Fashion-MNIST from the four IDX files of its authors, packed or not.

Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST" (2017); the IDX format is
described at http://yann.lecun.com/exdb/mnist.
"""

import gzip
import pathlib
import zlib

import numpy as np

from syndata_jax.data.dataset import Arrays
from syndata_jax.errors import UserError

FILES = (
  "train-images-idx3-ubyte",
  "train-labels-idx1-ubyte",
  "t10k-images-idx3-ubyte",
  "t10k-labels-idx1-ubyte",
)

# Where Debian's package dataset-fashion-mnist puts the four files.
SYSTEM_DIR = pathlib.Path("/usr/share/datasets/fashion-mnist")


def read(data_dir: pathlib.Path | None) -> Arrays | None:
  """Fashion-MNIST as u8[60000 and 10000, 28, 28, 1].

  Args:
    data_dir: the folder with the four IDX files, each plain or as .gz; None
      looks in `SYSTEM_DIR`.

  Returns:
    The arrays, or None where none of the four is there.

  Raises:
    UserError: some of the four are missing, or one cannot be read.
  """
  folder = SYSTEM_DIR if data_dir is None else data_dir
  paths = [_find(folder, name) for name in FILES]
  if not any(paths):
    return None
  for name, path in zip(FILES, paths, strict=True):
    if path is None:
      raise UserError(
        f"{folder / name}[.gz]: no such file: all four are needed"
      )
  train_images, train_labels, test_images, test_labels = (
    read_idx(path, 3 if "images" in path.name else 1)
    for path in paths
    if path is not None
  )
  return Arrays(
    train_images[..., None], train_labels, test_images[..., None], test_labels
  )


def read_idx(path: pathlib.Path, ndim: int) -> np.ndarray:
  """An IDX file of unsigned bytes with `ndim` axes, as a u8 array.

  The header is two zeros, the type (8 is unsigned byte), the number of axes,
  and each axis' length as a big-endian 32-bit number.

  Raises:
    UserError: the file cannot be unpacked, is of another type, or is shorter
      or longer than its header says.
  """
  try:
    content = path.read_bytes()
    if path.suffix == ".gz":
      content = gzip.decompress(content)
  except (OSError, EOFError, zlib.error) as error:
    raise UserError(f"{path}: cannot be read: {error}") from error
  header = 4 + 4 * ndim
  magic = bytes([0, 0, 8, ndim])
  if len(content) < header or content[:4] != magic:
    raise UserError(
      f"{path}: starts with {content[:4]!r}: must be an IDX file of bytes "
      f"with {ndim} axes, {magic!r}"
    )
  shape = tuple(int(n) for n in np.frombuffer(content, ">u4", ndim, offset=4))
  expected = header + int(np.prod(shape, dtype=object))
  if len(content) != expected:
    raise UserError(
      f"{path}: has {len(content)} bytes: its header {list(shape)} asks for "
      f"{expected}"
    )
  return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _find(folder: pathlib.Path, name: str) -> pathlib.Path | None:
  for path in (folder / name, folder / f"{name}.gz"):
    if path.exists():
      return path
  return None
