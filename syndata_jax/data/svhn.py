"""SVHN, cropped digits, from its original MATLAB files.

Source: Netzer et al., "Reading Digits in Natural Images with Unsupervised
Feature Learning" (2011), format 2, http://ufldl.stanford.edu/housenumbers.
"""

import pathlib
from collections.abc import Mapping

import numpy as np

from syndata_jax.data import checksum
from syndata_jax.data.dataset import Arrays
from syndata_jax.errors import UserError

CHECKSUMS = {
  "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
  "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
}


def read(
  data_dir: pathlib.Path, checksums: Mapping[str, str] = CHECKSUMS
) -> Arrays | None:
  """SVHN as u8[73257 and 26032, 32, 32, 3], class 0 for the digit 0.

  Args:
    data_dir: the folder with `train_32x32.mat` and `test_32x32.mat`.
    checksums: MD5 of each file by name.

  Returns:
    The arrays, or None where neither file is there.

  Raises:
    UserError: one file is missing, has another checksum or cannot be read.
  """
  paths = [data_dir / "train_32x32.mat", data_dir / "test_32x32.mat"]
  missing = [path for path in paths if not path.exists()]
  if len(missing) == len(paths):
    return None
  if missing:
    raise UserError(f"{missing[0]}: no such file: both SVHN files are needed")
  halves: list[np.ndarray] = []
  for path in paths:
    checksum.verify(path, checksums)
    halves += _read_half(path)
  return Arrays(*halves)


def _read_half(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
  import scipy.io

  try:
    arrays = scipy.io.loadmat(path, variable_names=("X", "y"))
    pixels, labels = arrays["X"], arrays["y"].reshape(-1).astype(np.int32)
  except Exception as error:  # A damaged file can raise nearly anything.
    raise UserError(f"{path}: not a readable SVHN file: {error!r}") from error
  if pixels.dtype != np.uint8 or pixels.shape != (32, 32, 3, len(labels)):
    raise UserError(
      f"{path}: X is {pixels.dtype}{list(pixels.shape)}: must be "
      f"uint8[32, 32, 3, {len(labels)}]"
    )
  # The files count from 1, so the digit 0 is written as 10.
  labels = np.where(labels == 10, 0, labels).astype(np.int32)
  return np.ascontiguousarray(pixels.transpose(3, 0, 1, 2)), labels
