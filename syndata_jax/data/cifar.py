"""CIFAR-10 and CIFAR-100 from their original Python archives.

The archive is read in memory, member by member and by exact name: nothing is
written to disk, and what else it may hold is never looked at. Source:
Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009), and
the layout described at https://www.cs.toronto.edu/~kriz/cifar.html.
"""

import pathlib
import tarfile
import zlib
from collections.abc import Mapping

import numpy as np

from syndata_jax.data import checksum, restricted_pickle
from syndata_jax.data.dataset import Arrays
from syndata_jax.errors import UserError

CHECKSUMS = {
  "cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a",
  "cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85",
}


def read_cifar10(
  data_dir: pathlib.Path, checksums: Mapping[str, str] = CHECKSUMS
) -> Arrays | None:
  """CIFAR-10 from `cifar-10-python.tar.gz`, u8[50000 and 10000, 32, 32, 3].

  Args:
    data_dir: the folder with the archive.
    checksums: MD5 of each archive by file name.

  Returns:
    The arrays, or None where there is no such archive.

  Raises:
    UserError: the archive has another checksum, or cannot be read.
  """
  train = [f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)]
  return _read(
    data_dir / "cifar-10-python.tar.gz",
    train,
    ["cifar-10-batches-py/test_batch"],
    b"labels",
    checksums,
  )


def read_cifar100(
  data_dir: pathlib.Path, checksums: Mapping[str, str] = CHECKSUMS
) -> Arrays | None:
  """CIFAR-100 with its 100 fine labels; otherwise as `read_cifar10`."""
  return _read(
    data_dir / "cifar-100-python.tar.gz",
    ["cifar-100-python/train"],
    ["cifar-100-python/test"],
    b"fine_labels",
    checksums,
  )


def _read(
  path: pathlib.Path,
  train: list[str],
  test: list[str],
  label_key: bytes,
  checksums: Mapping[str, str],
) -> Arrays | None:
  """The arrays of one archive, or None where it is not there.

  Args:
    path: the archive.
    train: its members with training images.
    test: those with test images.
    label_key: of the labels in each member's dictionary.
    checksums: MD5 of each archive by file name.
  """
  if not path.exists():
    return None
  checksum.verify(path, checksums)
  contents = _members(path, [*train, *test])
  halves = []
  for names in (train, test):
    batches = [
      _batch(contents[name], f"{path}: {name}", label_key) for name in names
    ]
    images, labels = zip(*batches, strict=True)
    halves += [np.concatenate(images), np.concatenate(labels)]
  return Arrays(*halves)


def _members(path: pathlib.Path, names: list[str]) -> dict[str, bytes]:
  """The contents of the named regular files of a tar.gz, in one pass."""
  contents = {}
  try:
    with tarfile.open(path, "r:gz") as archive:
      for member in archive:
        if member.name in names and member.isfile():
          stream = archive.extractfile(member)
          assert stream is not None  # It is, for a regular file.
          contents[member.name] = stream.read()
  except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
    raise UserError(f"{path}: not a readable tar.gz: {error}") from error
  missing = sorted(set(names) - set(contents))
  if missing:
    raise UserError(f"{path}: the archive lacks {', '.join(missing)}")
  return contents


def _batch(
  content: bytes, where: str, label_key: bytes
) -> tuple[np.ndarray, np.ndarray]:
  """u8[n, 32, 32, 3] and i32[n] of one pickled dictionary."""
  batch = restricted_pickle.loads(content, where)
  pixels, labels = batch.get(b"data"), batch.get(label_key)
  if not (
    isinstance(pixels, np.ndarray)
    and pixels.ndim == 2
    and pixels.shape[1] == 3 * 32 * 32
  ):
    raise UserError(f"{where}: no array 'data' of shape [n, 3072]")
  if not (
    isinstance(labels, list)
    and len(labels) == len(pixels)
    and all(type(label) is int and 0 <= label < 100 for label in labels)
  ):
    raise UserError(
      f"{where}: no list {label_key.decode()!r} of {len(pixels)} class numbers"
    )
  # A row is the red plane, then the green, then the blue one.
  images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
  return images, np.asarray(labels, np.int32)
