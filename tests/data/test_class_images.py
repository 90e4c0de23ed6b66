"""Public images by class, from folders, data sets and photographs."""

import numpy as np
import PIL.Image
import pytest

from syndata_jax.data import class_images, load, outside_images
from syndata_jax.errors import UserError

CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer"]
CIFAR10 += ["dog", "frog", "horse", "ship", "truck"]


def save(path, size=(6, 4), colour=None, mode="RGB"):
  """An image file of random pixels, or of one colour; returns its pixels."""
  path.parent.mkdir(parents=True, exist_ok=True)
  shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
  seed = sum(map(ord, str(path.name) + path.parent.name))
  pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
  if colour is not None:
    pixels[:] = colour
  PIL.Image.fromarray(pixels).save(path)
  return pixels


def message(*args):
  with pytest.raises(UserError) as caught:
    class_images(*args)
  assert "\n" not in str(caught.value)
  return str(caught.value)


@pytest.mark.parametrize("inside", ["", "train"])
def test_a_folder_of_class_folders(tmp_path, inside):
  """Sizes and modes differ, and what is no image or hidden does not count."""
  root = tmp_path / inside
  red = save(root / "cat" / "b.png", (4, 4), (255, 0, 0))
  pixels = save(root / "cat" / "a.png", (4, 4))
  grey = save(root / "ant" / "x.bmp", (4, 4), mode="L")
  save(root / "dog" / "big.png", (90, 31), (1, 200, 7))
  (root / "cat" / "notes.txt").write_text("not an image")
  (root / ".cache").mkdir()
  if inside:
    save(tmp_path / "test" / "eel" / "a.png")  # is not looked at
  images, labels = class_images("folder", (4, 4, 3), 3, str(tmp_path))
  assert images.dtype == np.uint8 and labels.dtype == np.int32
  assert labels.tolist() == [0, 1, 1, 2]
  np.testing.assert_array_equal(images[0], np.stack([grey] * 3, axis=-1))
  np.testing.assert_array_equal(images[1], pixels)
  np.testing.assert_array_equal(images[2], red)
  assert (images[3] == [1, 200, 7]).all()
  grey_images, _ = class_images("folder", (2, 5, 1), 3, tmp_path)
  assert grey_images.shape == (4, 2, 5, 1)
  # Rec. 601: 0.299 of red, 0.587 of green, 0.114 of blue.
  assert (grey_images[2] == 76).all()
  assert (abs(grey_images[3] - (0.299 + 0.587 * 200 + 0.114 * 7)) < 1).all()


def test_resizing_keeps_the_picture(tmp_path):
  """The halves of a picture stay where they are, and a mean stays a mean."""
  pixels = np.zeros((40, 60, 3), np.uint8)
  pixels[:, 30:] = 240
  pixels[20:, :30, 1] = 120
  noise = np.random.default_rng(0).integers(0, 2, (64, 64, 1)) * 255
  (tmp_path / "a").mkdir()
  PIL.Image.fromarray(pixels).save(tmp_path / "a" / "0.png")
  save(tmp_path / "b" / "0.png")
  noise = noise.repeat(3, -1).astype(np.uint8)
  PIL.Image.fromarray(noise).save(tmp_path / "b" / "1.png")
  images, _ = class_images("folder", (4, 6, 3), 2, tmp_path)
  np.testing.assert_allclose(images[0, 0, 0], [0, 0, 0], atol=12)
  np.testing.assert_allclose(images[0, 3, 0], [0, 120, 0], atol=12)
  np.testing.assert_allclose(images[0, :, 5], 240, atol=12)
  # Anti-aliased: each pixel is about the mean of what it covers.
  assert abs(images[2].astype(float) - 127.5).max() < 60


def test_a_class_may_be_called_train(tmp_path):
  save(tmp_path / "bus" / "0.png")
  save(tmp_path / "train" / "0.png")
  _, labels = class_images("folder", (4, 4, 3), 2, tmp_path)
  assert labels.tolist() == [0, 1]


def test_folders_that_do_not_fit(tmp_path):
  shape = (4, 4, 3)
  missing = tmp_path / "nowhere"
  assert message("folder", shape, 2, missing) == (
    f"{missing}: no such folder: must hold one folder per class"
  )
  save(tmp_path / "ant" / "0.png")
  (tmp_path / "cat").mkdir()
  assert message("folder", shape, 3, tmp_path) == (
    f"{tmp_path}: has 2 classes: must have 3"
  )
  assert message("folder", shape, 2, tmp_path).startswith(
    f"{tmp_path}: class 'cat' (1) has no images: must have files .bmp, "
  )
  (tmp_path / "cat" / "odd.png").write_bytes(b"not a picture")
  assert "odd.png: not a readable image" in message(
    "folder", shape, 2, tmp_path
  )


@pytest.fixture
def cinic10(tmp_path):
  """Two images of ImageNet a class, one of CIFAR-10 that must not enter."""
  for k, name in enumerate(CIFAR10):
    save(tmp_path / "train" / name / "n01_1.png", colour=k)
    save(tmp_path / "train" / name / "cifar10-train-9.png", colour=99)
    save(tmp_path / "valid" / name / "n01_2.png", colour=100 + k)
    save(tmp_path / "valid" / name / "cifar10-train-3.png", colour=99)
    save(tmp_path / "valid" / name / "CIFAR-10-test-1.png", colour=99)
  return tmp_path


def test_cinic10_without_the_images_of_cifar10(cinic10):
  images, labels = class_images("cinic10", (4, 6, 3), 10, cinic10)
  assert labels.tolist() == [k for k in range(10) for _ in range(2)]
  expected = [k + 100 * valid for k in range(10) for valid in range(2)]
  assert images[:, 0, 0, 0].tolist() == expected
  assert (images == images[:, :1, :1, :1]).all()


def test_cinic10_has_the_classes_of_cifar10(cinic10):
  only = cinic10 / "train" / "dog" / "n01_1.png"
  only.unlink()
  (cinic10 / "valid" / "dog" / "n01_2.png").unlink()
  assert "class 'dog' (5) has no images" in message(
    "cinic10", (4, 6, 3), 10, cinic10
  )
  (cinic10 / "train" / "dog").rename(cinic10 / "train" / "zebra")
  assert message("cinic10", (4, 6, 3), 10, cinic10) == (
    f"{cinic10}: has classes airplane, automobile, bird, cat, deer,"
    " frog, horse, ship, truck, zebra: must be those of CINIC-10:"
    f" {', '.join(CIFAR10)}"
  )
  assert message("cinic10", (4, 6, 3), 10, cinic10 / "none").startswith(
    f"{cinic10 / 'none' / 'train'}: no such folder"
  )


def test_digits_are_resized():
  digits = load("digits")
  images, labels = class_images("digits", (28, 28, 1), 10)
  assert images.shape == (1437, 28, 28, 1)
  np.testing.assert_array_equal(labels, digits.train_labels)
  # Each of 7x7 parts of a digit is about as dark as before.
  small = digits.train_images[..., 0].reshape(-1, 4, 2, 4, 2).mean((2, 4))
  large = images[..., 0].reshape(-1, 4, 7, 4, 7).mean((2, 4))
  assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.98
  same, _ = class_images("digits", (8, 8, 1), 10)
  np.testing.assert_array_equal(same, digits.train_images)
  colour, _ = class_images("digits", (8, 8, 3), 10)
  np.testing.assert_array_equal(colour, digits.train_images.repeat(3, -1))


def test_photographs_are_dealt_to_all_classes():
  images, labels = class_images("photographs", (8, 8, 1), 7, None, 30)
  assert images.shape == (210, 8, 8, 1)
  assert np.bincount(labels).tolist() == [30] * 7
  assert len(np.unique(images.reshape(210, -1), axis=0)) == 210
  few, few_labels = class_images("photographs", (8, 8, 1), 7, "", 4)
  np.testing.assert_array_equal(few, images[:28])
  np.testing.assert_array_equal(few_labels, labels[:28])
  assert np.bincount(few_labels).tolist() == [4] * 7


def test_no_photograph_is_a_canary():
  """Canaries of an audit with seed 0 are crops of these two as well."""
  images, _ = class_images("photographs", (8, 8, 3), 5, None, 20)
  canaries = outside_images(100, (8, 8, 3), 0)
  both = np.concatenate([images, canaries]).reshape(200, -1)
  assert len(np.unique(both, axis=0)) == 200


def npz(tmp_path, train_labels):
  path = tmp_path / "own.npz"
  np.savez(
    path,
    train_images=np.zeros((len(train_labels), 4, 4, 3), np.uint8),
    train_labels=np.array(train_labels),
    test_images=np.zeros((1, 4, 4, 3), np.uint8),
    test_labels=np.array([3]),
  )
  return path


def test_an_npz_file(tmp_path):
  path = npz(tmp_path, [3, 0, 1, 2, 2])
  images, labels = class_images("npz", (2, 2, 1), 4, path)
  assert images.shape == (5, 2, 2, 1)
  assert labels.tolist() == [3, 0, 1, 2, 2]
  path = npz(tmp_path, [3, 0, 2, 2])
  assert message("npz", (2, 2, 1), 4, path).startswith(
    "dataset=npz: class 1 has no training images: each of 0..3 must have one"
  )


@pytest.mark.parametrize("source", ["cinic10", "folder", "npz"])
@pytest.mark.parametrize("data_dir", [None, ""])
def test_a_source_that_needs_a_folder_asks_for_it(source, data_dir):
  needed = "a folder with one folder of " if source == "folder" else "the "
  said = message(source, (8, 8, 3), 10, data_dir)
  assert said.startswith(f"data_dir={data_dir!r}: must be {needed}")
  assert said.endswith(f", for source={source!r}")


def test_sources_that_do_not_fit(tmp_path):
  assert message("digits", (8, 8, 3), 7) == (
    "source='digits': has 10 classes: must have 7"
  )
  assert message("moon", (8, 8, 3), 7).startswith(
    "source='moon': must be one of cifar10, cifar100, cinic10, digits,"
    " fashion_mnist, folder, npz, photographs, svhn"
  )
  assert message("npz", (8, 8, 3), 7, tmp_path / "no.npz").startswith(
    f"{tmp_path / 'no.npz'}: No such file"
  )
  assert "(H, W, C)" in message("digits", (8, 8, 2), 10)


def test_a_data_set_without_files_names_no_field_of_others(monkeypatch):
  monkeypatch.setattr("syndata_jax.data.prepared.read", lambda *args: None)
  said = message("cifar10", (8, 8, 3), 10)
  assert said.startswith("dataset=cifar10: no files found")
  assert "a folder named by data_dir" in said and "--" not in said
