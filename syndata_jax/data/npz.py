"""A user's own arrays from one .npz file, also MedMNIST's and Keras's."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging

from syndata_jax import files
from syndata_jax.data.dataset import Arrays, canonical
from syndata_jax.errors import UserError, prefixed

# Keras's names of the same arrays.
_KERAS = {
  "train_images": "x_train",
  "train_labels": "y_train",
  "test_images": "x_test",
  "test_labels": "y_test",
}
_OPTIONS = ("mean", "std", "flip")


def read(path: pathlib.Path) -> tuple[Arrays, dict[str, Any]]:
  """The four arrays of a data set, and what the file says besides.

  The file has `train_images` u8[N, H, W, C] (or [N, H, W], grey),
  `train_labels` integer[N] (or [N, 1]), `test_images` and `test_labels`
  likewise; or the names that Keras gives them, `x_train`, `y_train`, `x_test`
  and `y_test`. It may have `mean` and `std`, C numbers each for pixels in
  [0, 1], and the truth value `flip`. Whoever writes `mean` and `std` must take
  them from public knowledge. A file of MedMNIST is one; its validation images,
  like any other array, are left out with a warning.

  Returns:
    The arrays, and a dictionary with those of `mean`, `std`, `flip` it holds.

  Raises:
    UserError: no such file, a damaged one, or an array that is missing, is
      there twice, or has another type or shape. Pickled objects are not read.
  """
  known = (*Arrays._fields, *_KERAS.values(), *_OPTIONS)
  unread: list[str] = []

  def wanted(name: str) -> bool:
    if name not in known:
      unread.append(name)
    return name in known

  stored = files.read_arrays(path, wanted)
  with prefixed(str(path)):
    arrays = canonical(
      Arrays(*(_array(stored, field) for field in Arrays._fields))
    )
    options = _options(stored, channels=arrays.train_images.shape[-1])
  if unread:
    logging.warning(
      "%s: %s left out: an audit reads training and test images alone",
      path,
      ", ".join(unread),
    )
  return arrays, options


def _array(stored: Mapping[str, np.ndarray], field: str) -> np.ndarray:
  """The array of this name, or of Keras's."""
  names = [name for name in (field, _KERAS[field]) if name in stored]
  if not names:
    raise UserError(
      f"{field} is missing: must hold {', '.join(Arrays._fields)}, or Keras's"
      f" {', '.join(_KERAS.values())}"
    )
  if len(names) > 1:
    raise UserError(f"holds {names[0]} and {names[1]}: must hold one of them")
  return stored[names[0]]


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
