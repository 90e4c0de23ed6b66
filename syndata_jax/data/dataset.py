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
    num_classes: K, at least 2.
    mean: one mean per channel, of pixels scaled to [0, 1]. Public: a published
      constant or a fixed one, never computed from the images held here.
    std: one positive standard deviation per channel, in the same scale.
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
      _check_facts(self.mean, self.std, self.train_images.shape[-1])


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
    UserError: `num_train` is negative or more than there are.
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
  return dataclasses.replace(
    dataset,
    train_images=dataset.train_images[rows],
    train_labels=dataset.train_labels[rows],
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
  if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape:
    raise UserError(
      f"{field} is {_described(images)}: must be uint8[N, H, W, C] with "
      "nothing empty"
    )
  if images.shape[-1] not in (1, 3):
    raise UserError(
      f"{field} has {images.shape[-1]} channels: must be 1 (grey) or 3 (RGB)"
    )


def _check_labels(field: str, labels: np.ndarray, num_images: int) -> None:
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


def _check_facts(
  mean: tuple[float, ...], std: tuple[float, ...], channels: int
) -> None:
  for field, value in (("mean", mean), ("std", std)):
    numbers = np.asarray(value, float)
    if numbers.shape != (channels,) or not np.isfinite(numbers).all():
      raise UserError(f"{field}={value}: must be {channels} finite numbers")
  if min(std) <= 0:
    raise UserError(f"std={std}: must be greater than 0")


def _described(array: np.ndarray) -> str:
  return f"{array.dtype}{list(array.shape)}"
