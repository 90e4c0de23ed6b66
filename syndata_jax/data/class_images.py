"""Public images by class: where a distillation can begin without private ones.

Whether they are public is for the caller to know. The private data set itself,
or one that holds its images, would put private images in disguise into every
shadow model.
"""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from syndata_jax import keys, validate
from syndata_jax.data import folder, sources
from syndata_jax.data.outside import check_shape, crops, fit
from syndata_jax.errors import UserError

SOURCES = tuple(sorted([*sources.NAMES, "photographs"]))

_NEEDS = {
  "cinic10": "the folder of CINIC-10, with train/",
  "folder": "a folder with one folder of images per class",
  "npz": "the .npz file",
}


class ClassImages(NamedTuple):
  """Public images of one shape, and the class of each."""

  images: np.ndarray  # u8[P, H, W, C]
  labels: np.ndarray  # i32[P], every class of [0, num_classes) is there


def class_images(
  source: str,
  shape: tuple[int, int, int],
  num_classes: int,
  data_dir: str | pathlib.Path | None = None,
  crops_per_class: int = 100,
) -> ClassImages:
  """Public images of every class, resized and turned to grey or RGB.

  | source | images | class |
  |---|---|---|
  | `cinic10` | `train/` and `valid/`, without those of CIFAR-10 | CIFAR-10's |
  | `folder` | `DIR/train/<class>/` or `DIR/<class>/` | order of the names |
  | `photographs` | crops of scikit-learn's two photographs | dealt in turn |
  | a name of `sources.NAMES` | its training images | its own |

  The photographs show no class of any data set: their crops are real pixels,
  and their labels say only which place they take.

  Args:
    source: one of `SOURCES`.
    shape: (H, W, C) of the images, C is 1 (grey) or 3 (RGB).
    num_classes: K, what the source must have too.
    data_dir: where its files are. Class folders need no test images, and their
      images may differ in size.
    crops_per_class: of the photographs; fewer are the first of more.

  Returns:
    The images with their labels, every class at least once.

  Raises:
    UserError: an unknown source, missing or damaged files, another number of
      classes than K, or a class without images.
  """
  check_shape(shape)
  validate.one_of(SOURCES, source=source)
  if source == "photographs":
    return _photographs(shape, num_classes, crops_per_class)
  if not data_dir and source in _NEEDS:
    raise UserError(
      f"data_dir={data_dir!r}: must be {_NEEDS[source]}, for source={source!r}"
    )
  path = pathlib.Path(data_dir).expanduser() if data_dir else None
  if path and source == "cinic10":
    return _cinic10(path, shape, num_classes)
  if path and source == "folder":
    return _folder(path, shape, num_classes)
  return _data_set(source, shape, num_classes, path)


def _photographs(
  shape: tuple[int, int, int], num_classes: int, crops_per_class: int
) -> ClassImages:
  # A stream of its own: canaries that are crops must not be among them.
  random = keys.generator(0, "class_images.crops")
  images = crops(random, crops_per_class * num_classes, shape)
  return ClassImages(
    images, np.arange(len(images), dtype=np.int32) % num_classes
  )


def _cinic10(
  data_dir: pathlib.Path, shape: tuple[int, int, int], num_classes: int
) -> ClassImages:
  roots = [data_dir / "train", data_dir / "valid"]
  names = folder.class_names(roots[0])
  if tuple(names) != folder.CINIC10_CLASSES:
    raise UserError(
      f"{data_dir}: has classes {', '.join(names)}: must be those"
      f" of CINIC-10: {', '.join(folder.CINIC10_CLASSES)}"
    )
  return _class_folders(
    data_dir, roots, names, folder.is_from_imagenet, shape, num_classes
  )


def _folder(
  data_dir: pathlib.Path, shape: tuple[int, int, int], num_classes: int
) -> ClassImages:
  root = data_dir
  # A folder `train` without folders inside is a class of that name.
  if (root / "train").is_dir() and folder.class_names(root / "train"):
    root = root / "train"
  return _class_folders(
    data_dir,
    [root],
    folder.class_names(root),
    lambda path: True,
    shape,
    num_classes,
  )


def _class_folders(
  data_dir: pathlib.Path,
  roots: list[pathlib.Path],
  names: list[str],
  keep: Callable[[pathlib.Path], bool],
  shape: tuple[int, int, int],
  num_classes: int,
) -> ClassImages:
  """The images of class folders.

  Args:
    data_dir: for messages.
    roots: each with a folder of every class.
    names: of the classes, in their order.
    keep: says of an image file whether it is one to take.
    shape: (H, W, C) of the result.
    num_classes: how many classes there must be.
  """
  if len(names) != num_classes:
    raise UserError(
      f"{data_dir}: has {len(names)} classes: must have {num_classes}"
    )
  files: list[pathlib.Path] = []
  labels: list[int] = []
  for label, name in enumerate(names):
    of_class = [
      path
      for root in roots
      for path in folder.image_files(root / name)
      if keep(path)
    ]
    if not of_class:
      raise UserError(
        f"{data_dir}: class {name!r} ({label}) has no images: must have files"
        f" {', '.join(folder.SUFFIXES)}"
      )
    files += of_class
    labels += [label] * len(of_class)
  # Resized one by one: the files may be much larger than the shape.
  images = fit((folder.read_image(path) for path in files), shape)
  return ClassImages(images, np.asarray(labels, np.int32))


def _data_set(
  source: str,
  shape: tuple[int, int, int],
  num_classes: int,
  data_dir: pathlib.Path | None,
) -> ClassImages:
  """The training images of a data set, resized.

  Args:
    source: a name of `sources.NAMES`.
    shape: (H, W, C) of the result.
    num_classes: how many classes there must be.
    data_dir: where its files are.
  """
  dataset = sources.load(source, data_dir)
  if dataset.num_classes != num_classes:
    raise UserError(
      f"source={source!r}: has {dataset.num_classes} classes: must have"
      f" {num_classes}"
    )
  return ClassImages(fit(dataset.train_images, shape), dataset.train_labels)
