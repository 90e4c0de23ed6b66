"""A user's own arrays in one file: right and wrong ones, and others' names."""

import numpy as np
import pytest

from syndata_jax.data import load
from syndata_jax.errors import UserError

RANDOM = np.random.default_rng(0)


def arrays_of(**changes):
  arrays = dict(
    train_images=RANDOM.integers(0, 256, (6, 4, 5, 3), dtype=np.uint8),
    train_labels=np.arange(6) % 3,
    test_images=RANDOM.integers(0, 256, (2, 4, 5, 3), dtype=np.uint8),
    test_labels=np.arange(2),
  )
  return arrays | changes


def test_npz_and_its_options(tmp_path):
  arrays = arrays_of()
  np.savez(tmp_path / "a.npz", **arrays)
  dataset = load("npz", tmp_path / "a.npz")
  np.testing.assert_array_equal(dataset.train_images, arrays["train_images"])
  assert (dataset.num_classes, dataset.flip) == (3, True)
  assert dataset.mean == dataset.std == (0.5,) * 3
  options = dict(mean=np.full(3, 0.25), std=np.ones(3), flip=np.array(False))
  np.savez(tmp_path / "b.npz", **arrays, **options)
  dataset = load("npz", str(tmp_path / "b.npz"))
  assert (dataset.mean, dataset.std) == ((0.25,) * 3, (1.0,) * 3)
  assert dataset.flip is False


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (
      {"train_images": np.zeros((6, 4, 5), np.uint8)},
      r"test_images is uint8\[2, 4, 5, 3\]: must be uint8\[T, 4, 5, 1\] as tr",
    ),
    (
      {"train_images": np.zeros((6, 4), np.uint8)},
      r"train_images is uint8\[6, 4\]: must be uint8\[N, H, W, C\]",
    ),
    (
      {"train_images": np.zeros((6, 3, 4, 5), np.uint8)},
      r"has 5 channels: .*; turn them with images\.transpose\(0, 2, 3, 1\)$",
    ),
    (
      {"train_images": np.zeros((6, 4, 5, 28), np.uint8)},
      r"train_images has 28 channels: must be 1 .* or 3 .*, the last axis$",
    ),
    (
      {"train_labels": np.arange(5)},
      r"int64\[5\]: must be integer\[6\], one per",
    ),
    ({"test_labels": np.zeros(2)}, "test_labels is float64"),
    (
      {"test_images": np.zeros((2, 5, 4, 3), np.uint8)},
      r"test_images is uint8\[2, 5, 4, 3\]: must be uint8\[T, 4, 5, 3\]",
    ),
    ({"mean": np.zeros(2)}, r"mean is float64\[2\]: must be float\[3\]"),
    ({"std": np.zeros(3)}, "std="),
    ({"flip": np.ones(1)}, r"flip is float64\[1\]: must be bool\[\]"),
    ({"mean": np.full(3, 125.3)}, r"mean=.*divide what belongs to .* by 255$"),
    ({"std": np.full(3, 63)}, r"std=.*: must be in \(0, 1\]"),
    ({"x_train": np.zeros(2)}, "holds train_images and x_train: must hold one"),
    ({"train_labels": np.arange(6) - 1}, "train_labels spans -1..4"),
    ({"train_labels": np.array([None] * 6)}, "archive of plain arrays"),
  ],
)
def test_npz_arrays_that_do_not_fit(tmp_path, changes, message):
  np.savez(tmp_path / "a.npz", **arrays_of(**changes))
  with pytest.raises(UserError, match=message):
    load("npz", tmp_path / "a.npz")


def test_npz_files_that_are_damaged_or_missing(tmp_path):
  path = tmp_path / "a.npz"
  with pytest.raises(UserError, match=r"a\.npz: No such file"):
    load("npz", path)
  np.savez(path, train_images=arrays_of()["train_images"])
  with pytest.raises(UserError, match=r"a\.npz: train_labels is missing"):
    load("npz", path)
  path.write_bytes(path.read_bytes()[:-40])
  with pytest.raises(UserError, match=r"a\.npz: damaged, or not an \.npz"):
    load("npz", path)


def test_a_file_of_medmnist(tmp_path, caplog):
  """Grey images without channels, labels in columns, and a validation set."""
  arrays = arrays_of(
    train_images=RANDOM.integers(0, 256, (6, 28, 28), dtype=np.uint8),
    train_labels=(np.arange(6) % 3)[:, None].astype(np.uint8),
    val_images=np.zeros((1, 28, 28), np.uint8),
    val_labels=np.zeros((1, 1), np.uint8),
    test_images=RANDOM.integers(0, 256, (2, 28, 28), dtype=np.uint8),
    test_labels=np.array([[2], [0]], np.uint8),
  )
  np.savez(tmp_path / "a.npz", **arrays)
  dataset = load("npz", tmp_path / "a.npz")
  assert dataset.train_images.shape == (6, 28, 28, 1)
  np.testing.assert_array_equal(
    dataset.train_images[..., 0], arrays["train_images"]
  )
  assert dataset.train_labels.tolist() == [0, 1, 2, 0, 1, 2]
  assert dataset.test_labels.tolist() == [2, 0]
  assert [record.getMessage() for record in caplog.records] == [
    f"{tmp_path / 'a.npz'}: val_images, val_labels left out: an audit reads"
    " training and test images alone"
  ]


def test_a_file_of_keras(tmp_path):
  arrays = arrays_of()
  names = ("x_train", "y_train", "x_test", "y_test")
  keras = dict(zip(names, arrays.values(), strict=True))
  keras["y_train"] = keras["y_train"][:, None]
  np.savez(tmp_path / "a.npz", **keras)
  dataset = load("npz", tmp_path / "a.npz")
  for field, array in arrays.items():
    np.testing.assert_array_equal(getattr(dataset, field), array)


@pytest.mark.parametrize(
  "change",
  [
    lambda images: images / 255,
    lambda images: (images / 255).astype(np.float32),
    lambda images: images.astype(np.float16),
    lambda images: images.astype(np.int64),
    lambda images: images >= 128,
  ],
)
def test_the_cure_that_is_named_is_one(tmp_path, change):
  """The expression of the message, evaluated, gives images that are read."""
  images = RANDOM.integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
  arrays = arrays_of(train_images=change(images))
  np.savez(tmp_path / "a.npz", **arrays)
  with pytest.raises(UserError) as refused:
    load("npz", tmp_path / "a.npz")
  said = str(refused.value)
  assert "train_images is " in said and ": must be uint8, such as " in said
  cured = eval(said.split("such as ")[1], {"images": arrays["train_images"]})
  is_mask = arrays["train_images"].dtype == bool
  wanted = np.where(images >= 128, 255, 0) if is_mask else images
  np.testing.assert_array_equal(cured, wanted)
  np.savez(tmp_path / "a.npz", **arrays | {"train_images": cured})
  assert load("npz", tmp_path / "a.npz").train_images.dtype == np.uint8


@pytest.mark.parametrize(
  ("values", "spans"),
  [((-1.0, 1.0), r"-1\.0\.\.1\.0"), ((0, 65535), r"0\.\.65535")],
)
def test_images_of_no_known_scale(tmp_path, values, spans):
  images = np.resize(np.array(values), (6, 4, 5, 3))
  np.savez(tmp_path / "a.npz", **arrays_of(train_images=images))
  with pytest.raises(
    UserError, match=f"uint8 of 0..255, and these span {spans}"
  ):
    load("npz", tmp_path / "a.npz")


def test_labels_in_several_columns(tmp_path):
  several = np.zeros((6, 14), np.uint8)
  several[1, :2] = 1
  np.savez(tmp_path / "a.npz", **arrays_of(train_labels=several))
  with pytest.raises(
    UserError,
    match=r"train_labels is uint8\[6, 14\]: must be integer\[6\], one class"
    " number per image: what an image with several labels",
  ):
    load("npz", tmp_path / "a.npz")
  one_hot = np.eye(3)[np.arange(6) % 3]
  np.savez(tmp_path / "a.npz", **arrays_of(train_labels=one_hot))
  with pytest.raises(UserError, match=r"such as labels\.argmax\(axis=1\)$"):
    load("npz", tmp_path / "a.npz")
