"""Class folders: of images, of none, of Tiny ImageNet."""

import re

import numpy as np
import PIL.Image
import pytest

from syndata_jax.data import load
from syndata_jax.errors import UserError

RANDOM = np.random.default_rng(0)


def save_image(path, size=(6, 4), mode="RGB"):
  path.parent.mkdir(parents=True, exist_ok=True)
  shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
  pixels = RANDOM.integers(0, 256, shape, dtype=np.uint8)
  PIL.Image.fromarray(pixels).save(path)
  return pixels


def write_folders(folder, mode="RGB"):
  pixels = {}
  for split in ("train", "test"):
    for label in ("ant", "bee"):
      for i in range(2):
        path = folder / split / label / f"{i}.png"
        pixels[split, label, i] = save_image(path, mode=mode)
  (folder / "train" / "ant" / "notes.txt").write_text("not an image")
  return pixels


def test_class_folders(tmp_path):
  pixels = write_folders(tmp_path)
  dataset = load("folder", tmp_path)
  assert dataset.train_labels.tolist() == [0, 0, 1, 1]
  np.testing.assert_array_equal(
    dataset.train_images[3], pixels["train", "bee", 1]
  )
  np.testing.assert_array_equal(
    dataset.test_images[0], pixels["test", "ant", 0]
  )
  assert (dataset.mean, dataset.std, dataset.flip) == ((0.5,) * 3,) * 2 + (
    True,
  )


def test_grey_folders_stay_grey_until_one_image_has_colour(tmp_path):
  pixels = write_folders(tmp_path, "L")
  dataset = load("folder", tmp_path)
  assert dataset.train_images.shape == (4, 4, 6, 1)
  save_image(tmp_path / "test" / "bee" / "9.png")
  dataset = load("folder", tmp_path)
  assert dataset.train_images.shape == (4, 4, 6, 3)
  for channel in range(3):
    np.testing.assert_array_equal(
      dataset.train_images[0, :, :, channel], pixels["train", "ant", 0]
    )


def test_folders_with_a_mistake(tmp_path):
  with pytest.raises(UserError, match="train: no such folder"):
    load("folder", tmp_path)
  write_folders(tmp_path)
  odd = tmp_path / "train" / "bee" / "odd.png"
  save_image(odd, size=(6, 5))
  with pytest.raises(
    UserError,
    match=r"5 training images of 2 classes, 4 test images\): .*odd\.png: is 6x5"
    r" pixels: must be 6x4 as .*0\.png.* mogrify -resize '6x4!' FILES$",
  ):
    load("folder", tmp_path)
  PIL.Image.fromarray(np.zeros((4, 6), np.uint16)).save(odd)
  with pytest.raises(UserError, match=r"odd\.png: has pixel mode I"):
    load("folder", tmp_path)
  odd.write_bytes((tmp_path / "train" / "bee" / "0.png").read_bytes()[:60])
  with pytest.raises(UserError, match=r"odd\.png: not a readable image"):
    load("folder", tmp_path)
  odd.unlink()
  save_image(tmp_path / "test" / "cat" / "0.png")
  with pytest.raises(UserError, match="cat: no such class"):
    load("folder", tmp_path)


def test_cinic10_keeps_only_the_images_of_imagenet(tmp_path):
  pixels = write_folders(tmp_path)
  save_image(tmp_path / "train" / "ant" / "cifar10-train-77.png")
  save_image(tmp_path / "test" / "bee" / "CIFAR-10-test-1.png")
  valid = save_image(tmp_path / "valid" / "bee" / "n0123_5.png")
  save_image(tmp_path / "valid" / "bee" / "cifar10-train-3.png")
  dataset = load("cinic10", tmp_path)
  assert dataset.train_labels.tolist() == [0, 0, 1, 1, 1]
  np.testing.assert_array_equal(dataset.train_images[4], valid)
  np.testing.assert_array_equal(
    dataset.test_images,
    [image for k, image in pixels.items() if k[0] == "test"],
  )


def test_hidden_files_are_no_images(tmp_path):
  """Such as the `._x.png` that macOS leaves `._x.png` beside x.png."""
  pixels = write_folders(tmp_path)
  (tmp_path / "train" / "ant" / "._0.png").write_bytes(b"\0\5\x16\7")
  dataset = load("folder", tmp_path)
  assert len(dataset.train_images) == 4
  np.testing.assert_array_equal(
    dataset.train_images[0], pixels["train", "ant", 0]
  )


@pytest.mark.parametrize("name", ["lost+found", "__MACOSX", "zebra"])
def test_a_folder_without_images_is_no_class(tmp_path, name):
  write_folders(tmp_path)
  (tmp_path / "train" / name).mkdir()
  (tmp_path / "train" / name / "notes.txt").write_text("not an image")
  with pytest.raises(UserError) as refused:
    load("folder", tmp_path)
  assert str(refused.value) == (
    f"{tmp_path / 'train' / name}: a class without training images, beside"
    " 4 images of 2 classes: must have some, or be removed"
  )
  (tmp_path / "train" / name).rename(tmp_path / "test" / name)
  with pytest.raises(UserError, match=re.escape(f"{name}: no such class in")):
    load("folder", tmp_path)


def test_folders_without_any_image(tmp_path):
  for split in ("train", "test"):
    for label in ("ant", "bee"):
      (tmp_path / split / label).mkdir(parents=True)
  with pytest.raises(UserError, match="train: has no images in its class fol"):
    load("folder", tmp_path)
  for label in ("ant", "bee"):
    save_image(tmp_path / "train" / label / "0.png")
  with pytest.raises(
    UserError,
    match=r"test: has no images in its class folders, beside 2 training images"
    r" of 2 classes: must have files \.bmp",
  ):
    load("folder", tmp_path)
  # A class that no test image shows is one nevertheless.
  save_image(tmp_path / "test" / "bee" / "0.png")
  assert load("folder", tmp_path).num_classes == 2


def write_tiny_imagenet(folder):
  """The layout of `tiny-imagenet-200`, of two classes."""
  pixels, lines = {}, []
  for wnid in ("n02", "n01"):
    inside = folder / "train" / wnid
    for i in range(3):
      name = f"{wnid}_{i}.png"
      pixels[name] = save_image(inside / "images" / name)
    (inside / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t0\t6\t4\n")
  for i, wnid in enumerate(("n02", "n01", "n02")):
    pixels[f"val_{i}"] = save_image(folder / "val" / "images" / f"val_{i}.png")
    lines.append(f"val_{i}.png\t{wnid}\t0\t0\t6\t4\n")
  (folder / "val" / "val_annotations.txt").write_text("".join(lines))
  save_image(folder / "test" / "images" / "test_0.png")
  (folder / "wnids.txt").write_text("n02\nn01\n")
  return pixels


def test_tiny_imagenet(tmp_path):
  pixels = write_tiny_imagenet(tmp_path)
  dataset = load("folder", tmp_path)
  assert dataset.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
  assert dataset.test_labels.tolist() == [1, 0, 1]
  np.testing.assert_array_equal(dataset.train_images[4], pixels["n02_1.png"])
  for i in range(3):
    np.testing.assert_array_equal(dataset.test_images[i], pixels[f"val_{i}"])
  # Labelled test images of the user's own go before.
  own = save_image(tmp_path / "test" / "n01" / "own.png")
  (tmp_path / "test" / "images" / "test_0.png").unlink()
  (tmp_path / "test" / "images").rmdir()
  dataset = load("folder", tmp_path)
  assert dataset.test_labels.tolist() == [0]
  np.testing.assert_array_equal(dataset.test_images[0], own)


@pytest.mark.parametrize("line", ["val_0.png", "val_0.png\tn03\t0"])
def test_an_annotation_that_names_no_class(tmp_path, line):
  write_tiny_imagenet(tmp_path)
  path = tmp_path / "val" / "val_annotations.txt"
  path.write_text(f"val_1.png\tn01\n{line}\n")
  with pytest.raises(UserError, match=r"annotations\.txt: line 2 names no cla"):
    load("folder", tmp_path)
  path.write_text("val_9.png\tn01\n")
  with pytest.raises(UserError, match=r"val_9\.png: not a readable image"):
    load("folder", tmp_path)
