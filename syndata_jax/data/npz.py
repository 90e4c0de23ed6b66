"""A user's own arrays from one .npz file."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from syndata_jax import files
from syndata_jax.data.dataset import Arrays, check
from syndata_jax.errors import UserError, prefixed

_NAMES = (*Arrays._fields, "mean", "std", "flip")


def read(path: pathlib.Path) -> tuple[Arrays, dict[str, Any]]:
  """The four arrays of a data set, and what the file says besides.

  The file has `train_images` u8[N, H, W, C], `train_labels` integer[N],
  `test_images` u8[T, H, W, C], `test_labels` integer[T]; and may have `mean`
  and `std`, C numbers each for pixels in [0, 1], and the truth value `flip`.
  Whoever writes `mean` and `std` must take them from public knowledge.

  Returns:
    The arrays, and a dictionary with those of `mean`, `std`, `flip` it holds.

  Raises:
    UserError: no such file, a damaged one, or an array that is missing or has
      another type or shape. Pickled objects are not read.
  """
  stored = files.read_arrays(path, lambda name: name in _NAMES)
  with prefixed(str(path)):
    for name in Arrays._fields:
      if name not in stored:
        raise UserError(
          f"{name} is missing: must hold {', '.join(Arrays._fields)}"
        )
    arrays = Arrays(*(stored[name] for name in Arrays._fields))
    check(arrays)
    return arrays, _options(stored, channels=arrays.train_images.shape[-1])


def _options(stored: Mapping[str, np.ndarray], channels: int) -> dict[str, Any]:
  options: dict[str, Any] = {}
  for name in ("mean", "std"):
    if name in stored:
      value = stored[name]
      if value.dtype.kind not in "fiu" or value.shape != (channels,):
        _refuse(name, value, f"float[{channels}]")
      options[name] = tuple(float(number) for number in value)
  if "flip" in stored:
    value = stored["flip"]
    if value.dtype != np.bool_ or value.shape != ():
      _refuse("flip", value, "bool[]")
    options["flip"] = bool(value)
  return options


def _refuse(name: str, array: np.ndarray, wanted: str) -> None:
  shape = ", ".join(map(str, array.shape))
  raise UserError(f"{name} is {array.dtype}[{shape}]: must be {wanted}")
