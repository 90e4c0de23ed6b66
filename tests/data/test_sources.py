"""Files that people put in place: right ones, wrong ones and missing ones."""

import gzip
import hashlib
import importlib.util
import struct
import sys
import types

import numpy as np
import pytest
import scipy.io

from syndata_jax.data import fashion_mnist, load, prepared, svhn
from syndata_jax.errors import UserError

RANDOM = np.random.default_rng(0)


@pytest.fixture
def no_records(monkeypatch, tmp_path_factory):
  """Neither TensorFlow nor prepared records of this machine."""
  empty = tmp_path_factory.mktemp("empty")
  monkeypatch.setenv("TFDS_DATA_DIR", str(empty))
  find = importlib.util.find_spec
  monkeypatch.setattr(
    prepared.importlib.util,
    "find_spec",
    lambda name: None if name == "tensorflow" else find(name),
  )


@pytest.mark.parametrize(
  ("name", "file"),
  [
    ("cifar10", "cifar-10-python.tar.gz"),
    ("cifar100", "cifar-100-python.tar.gz"),
    ("svhn", "test_32x32.mat"),
    ("fashion_mnist", "t10k-labels-idx1-ubyte.gz"),
  ],
)
def test_missing_files_say_what_goes_where(no_records, tmp_path, name, file):
  with pytest.raises(UserError) as error:
    load(name, tmp_path)
  for part in (f"dataset={name}", file, str(tmp_path), "http"):
    assert part in str(error.value)
  assert "\n" not in str(error.value)


def test_without_data_dir_it_is_asked_for(no_records):
  with pytest.raises(UserError, match="a folder named by data_dir"):
    load("cifar10")
  for name in ("npz", "folder", "cinic10"):
    with pytest.raises(UserError, match=f"data_dir=None: dataset={name} needs"):
      load(name)


def idx(array):
  header = struct.pack(">HBB", 0, 8, array.ndim)
  return header + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(folder, packed):
  arrays = [
    RANDOM.integers(0, 256, (12, 5, 4), dtype=np.uint8),
    np.arange(12, dtype=np.uint8) % 10,
    RANDOM.integers(0, 256, (3, 5, 4), dtype=np.uint8),
    np.arange(3, dtype=np.uint8),
  ]
  for name, array in zip(fashion_mnist.FILES, arrays, strict=True):
    if packed:
      (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
    else:
      (folder / name).write_bytes(idx(array))
  return arrays


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files(tmp_path, packed):
  images, labels, test_images, _ = write_idx(tmp_path, packed)
  dataset = load("fashion_mnist", tmp_path)
  np.testing.assert_array_equal(dataset.train_images[..., 0], images)
  np.testing.assert_array_equal(dataset.train_labels, labels)
  np.testing.assert_array_equal(dataset.test_images[..., 0], test_images)


@pytest.mark.parametrize(
  ("damage", "message"),
  [
    (lambda content: content[:-1], "has .* bytes: its header"),
    (lambda content: content + b"x", "has .* bytes: its header"),
    (lambda content: content[:9], "must be an IDX file"),
    (lambda content: b"\0\0\x0d\3" + content[4:], "must be an IDX file"),
    (lambda content: b"", "must be an IDX file"),
  ],
)
def test_damaged_idx_files(tmp_path, damage, message):
  write_idx(tmp_path, packed=False)
  path = tmp_path / fashion_mnist.FILES[0]
  path.write_bytes(damage(path.read_bytes()))
  with pytest.raises(UserError, match=rf"train-images\S*: .*{message}"):
    load("fashion_mnist", tmp_path)


def test_truncated_gzip_and_incomplete_set(tmp_path):
  write_idx(tmp_path, packed=True)
  path = tmp_path / f"{fashion_mnist.FILES[2]}.gz"
  path.write_bytes(path.read_bytes()[:-10])
  with pytest.raises(UserError, match=r"t10k-images\S*: cannot be read"):
    load("fashion_mnist", tmp_path)
  path.unlink()
  with pytest.raises(UserError, match=r"t10k-images\S*: no such file"):
    load("fashion_mnist", tmp_path)


def write_svhn(folder):
  content = {}
  for name, count in (("train_32x32.mat", 11), ("test_32x32.mat", 4)):
    pixels = RANDOM.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
    labels = (np.arange(count) % 10 + 1).astype(np.uint8)[:, None]
    scipy.io.savemat(
      folder / name, {"X": pixels, "y": labels}, do_compression=True
    )
    content[name] = pixels
  return content


def sums_of(folder):
  return {
    path.name: hashlib.md5(path.read_bytes()).hexdigest()
    for path in folder.iterdir()
  }


def test_svhn_files(tmp_path):
  pixels = write_svhn(tmp_path)["train_32x32.mat"]
  arrays = svhn.read(tmp_path, sums_of(tmp_path))
  np.testing.assert_array_equal(arrays.train_images[7], pixels[..., 7])
  assert arrays.train_labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


def test_damaged_svhn_files(tmp_path):
  write_svhn(tmp_path)
  with pytest.raises(UserError, match=svhn.CHECKSUMS["train_32x32.mat"]):
    load("svhn", tmp_path)
  path = tmp_path / "test_32x32.mat"
  path.write_bytes(path.read_bytes()[:-300])
  with pytest.raises(UserError, match=r"test_32x32\.mat: not a readable"):
    svhn.read(tmp_path, sums_of(tmp_path))
  path.unlink()
  with pytest.raises(UserError, match=r"test_32x32\.mat: no such file"):
    load("svhn", tmp_path)


class Builder:
  """What the module uses of a builder of tensorflow-datasets."""

  def __init__(self):
    self.prepared = False

  def download_and_prepare(self):
    self.prepared = True

  def as_data_source(self, split):
    count = {"train": 10, "test": 2}[split]
    return [
      {"image": np.full((32, 32, 3), i, np.uint8), "label": i}
      for i in range(count)
    ]


@pytest.fixture
def library(monkeypatch):
  """A stand-in for tensorflow-datasets that records how it is called."""
  module = types.ModuleType("tensorflow_datasets")
  module.calls = []

  def from_directory(folder):
    module.calls.append(("builder_from_directory", folder))
    return Builder()

  def builder(name, **options):
    module.calls.append(("builder", name, options["file_format"]))
    return Builder()

  module.builder_from_directory, module.builder = from_directory, builder
  monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)
  return module


def test_prepared_records_of_the_newest_version(no_records, library, tmp_path):
  for version in ("3.0.2", "3.0.10", "incomplete"):
    (tmp_path / "svhn_cropped" / version).mkdir(parents=True)
  for version in ("3.0.2", "3.0.10"):
    folder = tmp_path / "svhn_cropped" / version
    (folder / "dataset_info.json").write_text("{}")
  dataset = load("svhn", tmp_path)
  newest = tmp_path / "svhn_cropped" / "3.0.10"
  assert library.calls == [("builder_from_directory", newest)]
  assert dataset.train_labels.tolist() == list(range(10))
  assert (dataset.test_images[1] == 1).all()


def test_without_records_and_tensorflow_the_library_is_not_touched(
  no_records, library, tmp_path
):
  with pytest.raises(UserError, match="put cifar-10-python"):
    load("cifar10", tmp_path)
  assert library.calls == []


def test_with_tensorflow_records_are_prepared(library, tmp_path, monkeypatch):
  monkeypatch.setattr(
    prepared.importlib.util, "find_spec", lambda name: object()
  )
  assert len(load("cifar10", tmp_path).train_labels) == 10
  assert library.calls == [("builder", "cifar10", "array_record")]


def test_records_that_cannot_be_read_are_named(
  no_records, library, tmp_path, monkeypatch
):
  folder = tmp_path / "cifar10" / "3.0.2"
  folder.mkdir(parents=True)
  (folder / "dataset_info.json").write_text("{}")

  def fail(path):
    raise NotImplementedError("format\ntfrecord")

  monkeypatch.setattr(library, "builder_from_directory", fail)
  with pytest.raises(UserError, match=r"3\.0\.2: .*array_record.*format tfr"):
    load("cifar10", tmp_path)
