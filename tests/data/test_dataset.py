"""What a data set refuses, subsets, and the embedded and the real ones."""

import dataclasses
import time

import numpy as np
import pytest

from syndata_jax.data import (
  Dataset,
  fashion_mnist,
  load,
  own_dataset,
  subset,
  subset_rows,
)
from syndata_jax.data.dataset import Arrays
from syndata_jax.errors import UserError


@pytest.fixture
def dataset():
  random = np.random.default_rng(0)
  return Dataset(
    "toy",
    random.integers(0, 256, (20, 4, 5, 3), dtype=np.uint8),
    np.arange(20, dtype=np.int32) % 3,
    random.integers(0, 256, (6, 4, 5, 3), dtype=np.uint8),
    np.arange(6, dtype=np.int32) % 3,
    num_classes=3,
    mean=(0.5,) * 3,
    std=(0.5,) * 3,
    flip=True,
  )


@pytest.mark.parametrize(
  ("field", "value"),
  [
    ("train_images", np.zeros((20, 4, 5, 3))),
    ("train_images", np.zeros((20, 4, 5), np.uint8)),
    ("test_images", np.zeros((6, 4, 4, 3), np.uint8)),
    ("test_images", np.zeros((0, 4, 5, 3), np.uint8)),
    ("train_labels", np.zeros(20, np.int64)),
    ("train_labels", np.zeros(19, np.int32)),
    ("train_labels", np.full(20, 3, np.int32)),
    ("test_labels", np.full(6, -1, np.int32)),
    ("num_classes", 1),
    ("mean", (0.5,)),
    ("mean", (0.5, 0.5, float("nan"))),
    ("std", (0.5, 0.5, 0.0)),
    ("std", (0.5, 0.5, 63.0)),
    ("mean", (125.3, 123.0, 113.9)),
    ("mean", (0.5, 0.5, -0.1)),
  ],
)
def test_a_wrong_field_is_refused(dataset, field, value):
  with pytest.raises(UserError, match=f"dataset=toy: .*{field.split('_')[0]}"):
    dataclasses.replace(dataset, **{field: value})


def test_a_subset_is_a_prefix_and_keeps_pairs(dataset):
  small, large = subset(dataset, 9, 1), subset(dataset, 20, 1)
  np.testing.assert_array_equal(small.train_images, large.train_images[:9])
  np.testing.assert_array_equal(small.train_labels, large.train_labels[:9])
  pairs = {
    (image.tobytes(), int(label))
    for image, label in zip(
      dataset.train_images, dataset.train_labels, strict=True
    )
  }
  assert pairs == {
    (image.tobytes(), int(label))
    for image, label in zip(large.train_images, large.train_labels, strict=True)
  }
  assert subset(dataset, 0, 1) is dataset


def test_a_subset_that_loses_a_class(dataset):
  """Whichever class it is, and not where the last class is left."""
  outcomes = set()
  for seed in range(200):
    drawn = dataset.train_labels[subset_rows(20, 4, seed)]
    missing = sorted({0, 1, 2} - set(drawn.tolist()))
    outcomes.add(tuple(missing))
    if not missing:
      assert len(subset(dataset, 4, seed).train_labels) == 4
      continue
    with pytest.raises(UserError) as refused:
      subset(dataset, 4, seed)
    assert str(refused.value).startswith(
      f"num_train=4: seed={seed} draws no image of class {missing[0]}: "
    )
  assert outcomes >= {(), (0,), (1,), (2,)}


@pytest.mark.parametrize(
  ("train_labels", "test_labels", "message"),
  [
    (
      np.arange(20) % 4 + 1,
      np.ones(6, int),
      "class 0 has no training images: train_labels begin at 1 and must begin"
      " at 0; subtract 1 from all labels",
    ),
    (
      np.where(np.arange(20) == 5, 255, np.arange(20) % 4),
      np.zeros(6, int),
      "classes 4, 5, 6 and 248 more have no training images: each of 0..255",
    ),
    (
      np.where(np.arange(20) == 5, 2**31 - 1, np.arange(20) % 4),
      np.zeros(6, int),
      "classes 4, 5, 6 and 2147483640 more have no training images: each of",
    ),
    (
      np.arange(20) % 4,
      np.full(6, 4),
      "class 4 has no training images: each of 0..4 must have one; number",
    ),
    (
      np.arange(20) % 2 * 2,
      np.full(6, 1),
      "class 1 has no training images: each of 0..2 must have one; number",
    ),
    (
      np.arange(20) % 2 + 2,
      np.full(6, 2),
      "classes 0, 1 have no training images: each of 0..3 must have one;",
    ),
  ],
)
def test_a_class_without_training_images(
  dataset, train_labels, test_labels, message
):
  arrays = Arrays(
    dataset.train_images, train_labels, dataset.test_images, test_labels
  )
  begun = time.perf_counter()
  with pytest.raises(UserError) as refused:
    own_dataset("toy", arrays)
  assert time.perf_counter() - begun < 1
  assert str(refused.value).startswith(f"dataset=toy: {message}")
  assert "\n" not in str(refused.value)


def test_a_class_that_is_promised_and_not_there(dataset):
  with pytest.raises(UserError, match="toy: class 3 has no training images"):
    dataclasses.replace(dataset, num_classes=4)


@pytest.mark.parametrize("num_train", [-1, 21])
def test_an_impossible_subset(dataset, num_train):
  with pytest.raises(UserError, match=f"num_train={num_train}: .* 20"):
    subset(dataset, num_train, 0)


def test_digits_are_the_embedded_scans():
  digits = load("digits")
  assert digits.train_images.shape == (1437, 8, 8, 1)
  assert digits.test_images.shape == (360, 8, 8, 1)
  images = np.concatenate([digits.train_images, digits.test_images])
  assert (images.min(), images.max()) == (0, 255)
  assert len(np.unique(images)) == 17
  assert abs(images.mean() / 255 - digits.mean[0]) < 1e-4
  assert abs(images.std() / 255 - digits.std[0]) < 1e-4
  assert np.bincount(digits.test_labels).min() > 20
  assert not digits.flip
  np.testing.assert_array_equal(
    digits.train_images, load("digits").train_images
  )


@pytest.mark.skipif(
  not fashion_mnist.SYSTEM_DIR.is_dir(),
  reason="the package dataset-fashion-mnist is not installed",
)
def test_the_real_fashion_mnist():
  dataset = load("fashion_mnist")
  assert dataset.train_images.shape == (60_000, 28, 28, 1)
  assert np.bincount(dataset.train_labels).tolist() == [6000] * 10
  assert np.bincount(dataset.test_labels).tolist() == [1000] * 10
  counts = np.bincount(dataset.train_images.ravel(), minlength=256)
  values = np.arange(256) / 255
  mean = np.average(values, weights=counts)
  variance = np.average((values - mean) ** 2, weights=counts)
  assert abs(mean - dataset.mean[0]) < 1e-3
  assert abs(variance**0.5 - dataset.std[0]) < 1e-3


def test_an_unknown_name_lists_the_valid_ones():
  with pytest.raises(
    UserError, match=r"dataset='mnist': .*cifar10.*digits.*npz"
  ):
    load("mnist")
