"""A labelled image data set in host memory, checked when it is made."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from syndata_jax import keys, validate
from syndata_jax.errors import UserError, prefixed


class Arrays(NamedTuple):
  """What a reader of files returns, before the public facts are added."""

  train_images: np.ndarray  # u8[N, H, W, C]
  train_labels: np.ndarray  # integer[N]
  test_images: np.ndarray  # u8[T, H, W, C]
  test_labels: np.ndarray  # integer[T]


# Compared by identity: equality of arrays is not one truth value.
@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
  """Training and test images with the facts that are public about them.

  Attributes:
    name: the source, as in `load`.
    train_images: u8[N, H, W, C], C is 1 or 3.
    train_labels: i32[N] in [0, num_classes).
    test_images: u8[T, H, W, C].
    test_labels: i32[T] in [0, num_classes).
    num_classes: K, at least 2. Each has a training image: else mislabelled
      canaries would be given a class that only canaries have.
    mean: one mean per channel, in [0, 1] as pixels are there. Public: a
      published constant or a fixed one, never computed from the images held
      here.
    std: one standard deviation per channel, in the same scale: in (0, 1]. That
      of pixels is at most 0.5, and 1 leaves them unscaled.
    flip: whether a mirrored image is still a natural one of its class.

  Raises:
    UserError: a field whose type, shape or values are not as above.
  """

  name: str
  train_images: np.ndarray
  train_labels: np.ndarray
  test_images: np.ndarray
  test_labels: np.ndarray
  num_classes: int
  mean: tuple[float, ...]
  std: tuple[float, ...]
  flip: bool

  def __post_init__(self) -> None:
    arrays = Arrays(
      self.train_images, self.train_labels, self.test_images, self.test_labels
    )
    with prefixed(f"dataset={self.name}"):
      check(arrays)
      validate.at_least(2, num_classes=self.num_classes)
      for field in ("train_labels", "test_labels"):
        _check_classes(field, getattr(self, field), self.num_classes)
      _check_every_class(self.train_labels, self.num_classes)
      _check_facts(self.mean, self.std, self.train_images.shape[-1])


def canonical(arrays: Arrays) -> Arrays:
  """The same arrays with the axes of a `Dataset`, checked.

  Args:
    arrays: as people have them: grey images may lack the axis of channels,
      [N, H, W], and labels may have one too many, [N, 1].

  Raises:
    UserError: as `check`.
  """
  images = [
    field[..., None] if field.ndim == 3 else field
    for field in (arrays.train_images, arrays.test_images)
  ]
  labels = [
    field[:, 0] if field.ndim == 2 and field.shape[1] == 1 else field
    for field in (arrays.train_labels, arrays.test_labels)
  ]
  reshaped = Arrays(images[0], labels[0], images[1], labels[1])
  check(reshaped)
  return reshaped


def check(arrays: Arrays) -> None:
  """Checks what any data set must have, whoever read it.

  Raises:
    UserError: images that are not u8[N, H, W, C] of one shape with C 1 or 3, or
      labels that are not integers, one per image.
  """
  for field in ("train_images", "test_images"):
    _check_images(field, getattr(arrays, field))
  shape = arrays.train_images.shape[1:]
  if arrays.test_images.shape[1:] != shape:
    raise UserError(
      f"test_images is {_described(arrays.test_images)}: must be uint8[T, "
      f"{', '.join(map(str, shape))}] as train_images"
    )
  _check_labels("train_labels", arrays.train_labels, len(arrays.train_images))
  _check_labels("test_labels", arrays.test_labels, len(arrays.test_images))


def from_arrays(name: str, arrays: Arrays, **facts: Any) -> Dataset:
  """A `Dataset` of what a reader returned; `facts` are its other fields.

  Labels become i32; a value that does not fit is refused, never wrapped.
  """
  labels = {}
  for field in ("train_labels", "test_labels"):
    values = getattr(arrays, field)
    if values.size and not 0 <= int(values.min()) <= int(values.max()) < 2**31:
      raise UserError(
        f"dataset={name}: {field} spans {values.min()}..{values.max()}: must "
        "be class numbers from 0"
      )
    labels[field] = values.astype(np.int32)
  return Dataset(
    name,
    train_images=arrays.train_images,
    test_images=arrays.test_images,
    **labels,
    **facts,
  )


def subset(dataset: Dataset, num_train: int, seed: int) -> Dataset:
  """The same data set with `num_train` random training images.

  The subset of a seed is a prefix of every larger one of that seed. The test
  images stay as they are.

  Args:
    dataset: the data set to take from.
    num_train: how many training images to keep; 0 keeps all, in their order.
    seed: names the permutation.

  Raises:
    UserError: `num_train` is negative or more than there are, or a class is not
      among the images that were drawn.
  """
  available = len(dataset.train_labels)
  if not 0 <= num_train <= available:
    raise UserError(
      f"num_train={num_train}: must be 0 (all) to {available}, the training "
      f"images of {dataset.name}"
    )
  if num_train == 0:
    return dataset
  rows = subset_rows(available, num_train, seed)
  labels = dataset.train_labels[rows]
  absent, _ = _absent_classes(labels, dataset.num_classes)
  if absent:
    raise UserError(
      f"num_train={num_train}: seed={seed} draws no image of class {absent[0]}:"
      " must be larger, or the seed another one"
    )
  return dataclasses.replace(
    dataset, train_images=dataset.train_images[rows], train_labels=labels
  )


def subset_rows(available: int, num_train: int, seed: int) -> np.ndarray:
  """i64[n], the rows of the whole that `subset` keeps, in its order.

  Args:
    available: rows of the whole.
    num_train: how many are kept; 0 for all.
    seed: names the permutation.
  """
  if num_train == 0:
    return np.arange(available)
  return keys.generator(seed, "data.subset").permutation(available)[:num_train]


def _check_images(field: str, images: np.ndarray) -> None:
  if images.dtype != np.uint8:
    raise UserError(
      f"{field} is {_described(images)}: must be uint8{_cure(images)}"
    )
  if images.ndim != 4 or 0 in images.shape:
    raise UserError(
      f"{field} is {_described(images)}: must be uint8[N, H, W, C] with "
      "nothing empty"
    )
  if images.shape[-1] not in (1, 3):
    turned = images.shape[1] in (1, 3)
    cure = "; turn them with images.transpose(0, 2, 3, 1)" if turned else ""
    raise UserError(
      f"{field} has {images.shape[-1]} channels: must be 1 (grey) or 3 (RGB), "
      f"the last axis{cure}"
    )


def _cure(images: np.ndarray) -> str:
  """How numbers become bytes, by the range that they are in."""
  kind = images.dtype.kind
  if kind not in "biuf" or not images.size:
    return ""
  low, high = images.min(), images.max()
  # Written so that NaN lies in no range.
  if kind in "bf" and low >= 0 and high <= 1:
    return ', such as (images * 255).round().astype("uint8")'
  if low >= 0 and high <= 255:
    return ', such as images.round().astype("uint8")'
  return f" of 0..255, and these span {low}..{high}"


def _check_labels(field: str, labels: np.ndarray, num_images: int) -> None:
  if labels.ndim == 2 and labels.dtype.kind in "biuf" and labels.shape[1] > 1:
    ones = (labels == 1).sum(axis=1)
    is_one_hot = (ones == 1).all() and ((labels == 0) | (labels == 1)).all()
    reason = (
      "one class number per image, such as labels.argmax(axis=1)"
      if is_one_hot
      else "one class number per image: what an image with several labels at"
      " once leaks is not measured, for canaries get one wrong label"
    )
    raise UserError(
      f"{field} is {_described(labels)}: must be integer[{num_images}],"
      f" {reason}"
    )
  if labels.dtype.kind not in "iu" or labels.shape != (num_images,):
    raise UserError(
      f"{field} is {_described(labels)}: must be integer[{num_images}], one "
      "per image"
    )


def _check_classes(field: str, labels: np.ndarray, num_classes: int) -> None:
  if labels.dtype != np.int32:
    raise UserError(f"{field} is {labels.dtype}: must be int32")
  if labels.min() < 0 or labels.max() >= num_classes:
    raise UserError(
      f"{field} spans {labels.min()}..{labels.max()}: must lie in 0.."
      f"{num_classes - 1}"
    )


def _check_every_class(train_labels: np.ndarray, num_classes: int) -> None:
  absent, count = _absent_classes(train_labels, num_classes)
  if not count:
    return
  if absent == [0] and count == 1:
    raise UserError(
      "class 0 has no training images: train_labels begin at 1 and must begin"
      " at 0; subtract 1 from all labels"
    )
  names = ", ".join(map(str, absent))
  more = f" and {count - len(absent)} more" if count > len(absent) else ""
  raise UserError(
    f"{'class' if count == 1 else 'classes'} {names}{more}"
    f" {'has' if count == 1 else 'have'} no training images: each of 0.."
    f"{num_classes - 1} must have one; number those that do from 0, without"
    " stray labels (such as 255 for unknown)"
  )


def _absent_classes(
  train_labels: np.ndarray, num_classes: int
) -> tuple[list[int], int]:
  """The first few classes without training images, and how many there are."""
  # Nothing of the size of K is made: a wild label makes that 2**31.
  present = np.unique(train_labels)
  first = range(min(num_classes, len(present) + 3))
  absent = np.setdiff1d(first, present)[:3]
  return absent.tolist(), num_classes - len(present)


def _check_facts(
  mean: tuple[float, ...], std: tuple[float, ...], channels: int
) -> None:
  for field, value, ends in (("mean", mean, "[0, 1]"), ("std", std, "(0, 1]")):
    numbers = np.asarray(value, float)
    if numbers.shape != (channels,) or not np.isfinite(numbers).all():
      raise UserError(f"{field}={value}: must be {channels} finite numbers")
    above = numbers > 0 if field == "std" else numbers >= 0
    if not (above & (numbers <= 1)).all():
      raise UserError(
        f"{field}={value}: must be in {ends}, the scale of pixels here; divide"
        " what belongs to pixels of 0..255 by 255"
      )


def _described(array: np.ndarray) -> str:
  return f"{array.dtype}{list(array.shape)}"
