"""Class folders of image files: a user's own data, CINIC-10, Tiny ImageNet.

    data_dir/train/<class>/<image>    data_dir/test/<class>/<image>

In Tiny ImageNet the images of a class are in `train/<class>/images/`, and those
of `test/` have no labels. Its `val/` then serves for them: `val/images/<image>`
with lines of `<image> TAB <class> TAB ...` in `val/val_annotations.txt`.

Source of CINIC-10: Darlow et al., "CINIC-10 is not ImageNet or CIFAR-10"
(2018), https://github.com/BayesWatch/cinic-10.
"""

import pathlib
from collections.abc import Callable

import numpy as np

from syndata_jax.data.dataset import Arrays
from syndata_jax.errors import UserError, prefixed

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
    UserError: a folder is missing, a class of `train/` or all of `test/` has no
      images, `test/` has a class that `train/` has not, a file cannot be read,
      or its size differs.
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
  """The image files of one class, sorted; none where there is no folder.

  Also those in a folder `images` within, as Tiny ImageNet has them. Hidden
  files, such as macOS's `._0.png`, are no images.
  """
  return sorted(
    path
    for pattern in ("*", "images/*")
    for path in folder.glob(pattern)
    if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
  )


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


# An image file and its class.
_Labelled = tuple[pathlib.Path, int]


def _read(
  data_dir: pathlib.Path,
  train_folders: tuple[str, ...],
  keep: Callable[[pathlib.Path], bool],
) -> tuple[Arrays, int]:
  classes = class_names(data_dir / "train")
  train = [
    pair
    for name in train_folders
    for pair in _class_folders(data_dir, name, classes, keep)
  ]
  _check_train(data_dir / "train", train, classes)
  test = _annotated(data_dir, classes)
  if test is None:
    test = _class_folders(data_dir, "test", classes, keep)
  counts = f"{len(train)} training images of {len(classes)} classes"
  if not test:
    raise UserError(
      f"{data_dir / 'test'}: has no images in its class folders, beside"
      f" {counts}: must have files {', '.join(SUFFIXES)}"
    )
  with prefixed(f"{data_dir} ({counts}, {len(test)} test images)"):
    images = _stack([path for path, _ in (*train, *test)])
  labels = np.asarray([label for _, label in (*train, *test)], np.int32)
  arrays = Arrays(
    images[: len(train)],
    labels[: len(train)],
    images[len(train) :],
    labels[len(train) :],
  )
  return arrays, len(classes)


def _class_folders(
  data_dir: pathlib.Path,
  split: str,
  classes: list[str],
  keep: Callable[[pathlib.Path], bool],
) -> list[_Labelled]:
  """The images of one split, class by class.

  Args:
    data_dir: of the data set.
    split: the folder in it.
    classes: the names, in their order.
    keep: says of an image file whether it is one to take.
  """
  unknown = sorted(set(class_names(data_dir / split)) - set(classes))
  if unknown:
    raise UserError(
      f"{data_dir / split / unknown[0]}: no such class in {data_dir / 'train'}:"
      f" must be one of {_listed(classes)}"
    )
  return [
    (path, label)
    for label, name in enumerate(classes)
    for path in image_files(data_dir / split / name)
    if keep(path)
  ]


def _check_train(
  folder: pathlib.Path, train: list[_Labelled], classes: list[str]
) -> None:
  """Refuses folders that hold no image: no classes, or emptied ones."""
  if not train:
    raise UserError(
      f"{folder}: has no images in its class folders: must have files "
      f"{', '.join(SUFFIXES)}"
    )
  present = {label for _, label in train}
  empty = [name for k, name in enumerate(classes) if k not in present]
  if empty:
    raise UserError(
      f"{folder / empty[0]}: a class without training images, beside"
      f" {len(train)} images of {len(present)} classes: must have some, or be"
      " removed"
    )


def _annotated(
  data_dir: pathlib.Path, classes: list[str]
) -> list[_Labelled] | None:
  """The validation images of Tiny ImageNet; None where `test/` has labels."""
  annotations = data_dir / "val" / "val_annotations.txt"
  has_labels = any((data_dir / "test" / name).is_dir() for name in classes)
  if has_labels or not annotations.is_file():
    return None
  numbers = {name: label for label, name in enumerate(classes)}
  pairs = []
  lines = annotations.read_text(encoding="utf-8", errors="replace").splitlines()
  for number, line in enumerate(filter(None, lines), start=1):
    image, *rest = line.split("\t")
    if not rest or rest[0] not in numbers:
      raise UserError(
        f"{annotations}: line {number} names no class of {data_dir / 'train'}: "
        "must be an image, a tab and its class"
      )
    pairs.append((annotations.parent / "images" / image, numbers[rest[0]]))
  return pairs


def _listed(classes: list[str]) -> str:
  if len(classes) <= 20:
    return ", ".join(classes)
  return f"{', '.join(classes[:20])} and {len(classes) - 20} more"


def _stack(files: list[pathlib.Path]) -> np.ndarray:
  images = []
  for path in files:
    images.append(read_image(path))
    if images[-1].shape[:2] != images[0].shape[:2]:
      raise UserError(
        f"{path}: is {_size(images[-1])} pixels: must be {_size(images[0])} as "
        f"{files[0]}; nothing is resized silently: ImageMagick does it with "
        f"mogrify -resize '{_size(images[0])}!' FILES"
      )
  channels = max(image.shape[2] for image in images)
  stacked = np.empty((len(images), *images[0].shape[:2], channels), np.uint8)
  for row, image in zip(stacked, images, strict=True):
    row[:] = image  # A grey image is broadcast to all channels.
  return stacked


def _size(image: np.ndarray) -> str:
  return f"{image.shape[1]}x{image.shape[0]}"
