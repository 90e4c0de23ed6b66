"""Class folders of image files: a user's own data, and CINIC-10.

    data_dir/train/<class>/<image>    data_dir/test/<class>/<image>

Source of CINIC-10: Darlow et al., "CINIC-10 is not ImageNet or CIFAR-10"
(2018), https://github.com/BayesWatch/cinic-10.
"""

import pathlib
from collections.abc import Callable

import numpy as np

from syndata_jax.data.dataset import Arrays
from syndata_jax.errors import UserError

# Also CIFAR-10's names in CIFAR-10's order, so class k is class k of both.
CINIC10_CLASSES = (
  "airplane",
  "automobile",
  "bird",
  "cat",
  "deer",
  "dog",
  "frog",
  "horse",
  "ship",
  "truck",
)

SUFFIXES = (
  ".bmp",
  ".gif",
  ".jpeg",
  ".jpg",
  ".pgm",
  ".png",
  ".ppm",
  ".tif",
  ".tiff",
  ".webp",
)
_GREY_MODES = ("1", "L", "LA")
_COLOUR_MODES = ("P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


def read(data_dir: pathlib.Path) -> tuple[Arrays, int]:
  """All images of `train/` and `test/`, and the number of classes.

  A class is a folder of `train/`, numbered in the order of the names. Images
  must have one size, since resizing would change what is audited; transparency
  is dropped, and grey images become RGB if any image has colour.

  Raises:
    UserError: a folder is missing or empty, `test/` has a class that `train/`
      has not, a file cannot be read, or its size differs.
  """
  return _read(data_dir, ("train",), lambda path: True)


def read_cinic10(data_dir: pathlib.Path) -> tuple[Arrays, int]:
  """The ImageNet part of CINIC-10: `train/` and `valid/` against `test/`.

  CINIC-10 holds all of CIFAR-10, its training images included. Used as public
  or out-of-distribution data in an audit of CIFAR-10 they would be private
  images in disguise, so files whose name starts with `cifar` are left out and
  ImageNet's, whose names start with a synset, are kept. `valid/` may be absent.

  Raises:
    UserError: as `read`.
  """
  folders = ("train", "valid") if (data_dir / "valid").is_dir() else ("train",)
  return _read(data_dir, folders, is_from_imagenet)


def is_from_imagenet(path: pathlib.Path) -> bool:
  """Whether a file of CINIC-10 is not one of CIFAR-10's images."""
  return not path.name.lower().startswith("cifar")


def class_names(folder: pathlib.Path) -> list[str]:
  """The folders inside a folder, sorted: class k is the k-th.

  Raises:
    UserError: no such folder.
  """
  if not folder.is_dir():
    raise UserError(f"{folder}: no such folder: must hold one folder per class")
  return sorted(
    path.name
    for path in folder.iterdir()
    if path.is_dir() and not path.name.startswith(".")
  )


def image_files(folder: pathlib.Path) -> list[pathlib.Path]:
  """The image files of one class, sorted; none where there is no folder."""
  return [
    path for path in sorted(folder.glob("*")) if path.suffix.lower() in SUFFIXES
  ]


def read_image(path: pathlib.Path) -> np.ndarray:
  """One file as u8[H, W, 1] if it is grey, else as u8[H, W, 3].

  Raises:
    UserError: a damaged file, or more than 8 bits per channel.
  """
  import PIL.Image

  try:
    with PIL.Image.open(path) as image:
      mode = image.mode
      if mode in _GREY_MODES:
        return np.asarray(image.convert("L"))[..., None]
      if mode in _COLOUR_MODES:
        return np.asarray(image.convert("RGB"))
  except Exception as error:  # A damaged file can raise nearly anything.
    raise UserError(f"{path}: not a readable image: {error!r}") from error
  raise UserError(
    f"{path}: has pixel mode {mode}: must have 8 bits per channel, grey or RGB"
  )


def _read(
  data_dir: pathlib.Path,
  train_folders: tuple[str, ...],
  keep: Callable[[pathlib.Path], bool],
) -> tuple[Arrays, int]:
  classes = class_names(data_dir / "train")
  files: list[pathlib.Path] = []
  labels: list[int] = []
  for split in (*train_folders, "test"):
    if split == "test":
      num_train = len(files)
    unknown = sorted(set(class_names(data_dir / split)) - set(classes))
    if unknown:
      raise UserError(
        f"{data_dir / split / unknown[0]}: no such class in "
        f"{data_dir / 'train'}: must be one of {', '.join(classes)}"
      )
    split_files = [
      (path, label)
      for label, name in enumerate(classes)
      for path in image_files(data_dir / split / name)
      if keep(path)
    ]
    if not split_files:
      raise UserError(
        f"{data_dir / split}: has no images in its class folders: must have "
        f"files {', '.join(SUFFIXES)}"
      )
    files += [path for path, _ in split_files]
    labels += [label for _, label in split_files]
  images = _stack(files)
  all_labels = np.asarray(labels, np.int32)
  arrays = Arrays(
    images[:num_train],
    all_labels[:num_train],
    images[num_train:],
    all_labels[num_train:],
  )
  return arrays, len(classes)


def _stack(files: list[pathlib.Path]) -> np.ndarray:
  images = []
  for path in files:
    images.append(read_image(path))
    if images[-1].shape[:2] != images[0].shape[:2]:
      raise UserError(
        f"{path}: is {_size(images[-1])} pixels: must be {_size(images[0])} as "
        f"{files[0]}; nothing is resized silently"
      )
  channels = max(image.shape[2] for image in images)
  stacked = np.empty((len(images), *images[0].shape[:2], channels), np.uint8)
  for row, image in zip(stacked, images, strict=True):
    row[:] = image  # A grey image is broadcast to all channels.
  return stacked


def _size(image: np.ndarray) -> str:
  return f"{image.shape[1]}x{image.shape[0]}"
