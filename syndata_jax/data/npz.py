"""A user's own arrays from one .npz file."""

import pathlib
from typing import Any

import numpy as np

from syndata_jax.data.dataset import Arrays
from syndata_jax.errors import UserError


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
  if not path.is_file():
    raise UserError(f"{path}: no such file: data_dir must be the .npz file")
  found = {}
  try:
    with np.load(path, allow_pickle=False) as archive:
      for name in (*Arrays._fields, "mean", "std", "flip"):
        if name in archive:
          found[name] = archive[name]
  except Exception as error:  # A damaged file can raise nearly anything.
    raise UserError(f"{path}: not a readable .npz file: {error!r}") from error
  for name in Arrays._fields:
    if name not in found:
      raise UserError(
        f"{path}: {name} is missing: must hold {', '.join(Arrays._fields)}"
      )
  for split in ("train", "test"):
    images, labels = found[f"{split}_images"], found[f"{split}_labels"]
    if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape:
      _refuse(path, f"{split}_images", images, "uint8[N, H, W, C]")
    wanted = f"integer[{len(images)}]"
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
      _refuse(path, f"{split}_labels", labels, wanted)
  shape = found["train_images"].shape[1:]
  if found["test_images"].shape[1:] != shape:
    wanted = f"uint8[T, {', '.join(map(str, shape))}] as train_images"
    _refuse(path, "test_images", found["test_images"], wanted)
  return (
    Arrays(*(found[name] for name in Arrays._fields)),
    _options(path, found, channels=shape[-1]),
  )


def _options(path, found, channels: int) -> dict[str, Any]:
  options: dict[str, Any] = {}
  for name in ("mean", "std"):
    if name in found:
      value = found[name]
      if value.dtype.kind not in "fiu" or value.shape != (channels,):
        _refuse(path, name, value, f"float[{channels}]")
      options[name] = tuple(float(v) for v in value)
  if "flip" in found:
    value = found["flip"]
    if value.dtype != np.bool_ or value.shape != ():
      _refuse(path, "flip", value, "bool[]")
    options["flip"] = bool(value)
  return options


def _refuse(path, name: str, array: np.ndarray, wanted: str):
  shape = ", ".join(map(str, array.shape))
  raise UserError(f"{path}: {name} is {array.dtype}[{shape}]: must be {wanted}")
