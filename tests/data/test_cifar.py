"""CIFAR archives in their true format, and hostile ones."""

import hashlib
import io
import pickle
import struct
import tarfile

import numpy as np
import pytest

from syndata_jax.data import cifar, load, restricted_pickle
from syndata_jax.errors import UserError

ARCHIVE = "cifar-10-python.tar.gz"
RANDOM = np.random.default_rng(0)


def short(text):
  return b"U" + bytes([len(text)]) + text


def python2_array(array):
  """The opcodes that Python 2 and NumPy 1 wrote for a u8 matrix."""
  raw = array.tobytes()
  return b"".join(
    [
      b"cnumpy.core.multiarray\n_reconstruct\n",
      b"cnumpy\nndarray\n",
      b"K\x00\x85" + short(b"b") + b"\x87R",
      b"(K\x01",
      b"".join(b"J" + struct.pack("<i", n) for n in array.shape) + b"\x86",
      b"cnumpy\ndtype\n" + short(b"u1") + b"K\x00K\x01\x87R",
      b"(K\x03" + short(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
      b"\x89T" + struct.pack("<i", len(raw)) + raw + b"tb",
    ]
  )


def python2_batch(pixels, labels, key=b"labels"):
  """The dictionary of a batch, as Python 2 pickled it in protocol 2."""
  numbers = b"".join(b"K" + bytes([label]) for label in labels)
  return (
    b"\x80\x02}("
    + (short(b"data") + python2_array(pixels))
    + (short(key) + b"](" + numbers + b"e")
    + (short(b"batch_label") + short(b"a batch"))
    + b"u."
  )


def write_archive(path, members):
  with tarfile.open(path, "w:gz") as archive:
    for name, content in members:
      member = tarfile.TarInfo(name)
      member.size = len(content)
      archive.addfile(member, io.BytesIO(content))
  return {path.name: hashlib.md5(path.read_bytes()).hexdigest()}


def batches():
  names = [f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)]
  return {
    name: (
      RANDOM.integers(0, 256, (4, 3072), dtype=np.uint8),
      (4 * i + RANDOM.permutation(4)) % 10,  # every class is there
    )
    for i, name in enumerate([*names, "cifar-10-batches-py/test_batch"])
  }


def members_of(content):
  return [(name, python2_batch(*batch)) for name, batch in content.items()]


def test_cifar10_pixels_and_labels(tmp_path, monkeypatch):
  content = batches()
  sums = write_archive(tmp_path / ARCHIVE, members_of(content))
  monkeypatch.setitem(cifar.CHECKSUMS, ARCHIVE, sums[ARCHIVE])
  dataset = load("cifar10", tmp_path)
  pixels = np.concatenate([batch[0] for batch in content.values()])
  labels = np.concatenate([batch[1] for batch in content.values()])
  images = np.concatenate([dataset.train_images, dataset.test_images])
  assert images.shape == (24, 32, 32, 3)
  for i, y, x, c in RANDOM.integers(0, (24, 32, 32, 3), (50, 4)):
    assert images[i, y, x, c] == pixels[i, c * 1024 + y * 32 + x]
  np.testing.assert_array_equal(dataset.train_labels, labels[:20])
  np.testing.assert_array_equal(dataset.test_labels, labels[20:])
  assert list(tmp_path.iterdir()) == [tmp_path / ARCHIVE]


def test_cifar100_has_fine_labels(tmp_path):
  pixels = RANDOM.integers(0, 256, (3, 3072), dtype=np.uint8)
  path = tmp_path / "cifar-100-python.tar.gz"
  batch = python2_batch(pixels, [99, 0, 50], b"fine_labels")
  sums = write_archive(
    path, [("cifar-100-python/train", batch), ("cifar-100-python/test", batch)]
  )
  arrays = cifar.read_cifar100(tmp_path, sums)
  assert arrays.train_labels.tolist() == [99, 0, 50]
  np.testing.assert_array_equal(
    arrays.test_images[2, :, :, 1].ravel(), pixels[2, 1024:2048]
  )


def test_a_wrong_checksum_names_file_and_both_sums(tmp_path):
  sums = write_archive(tmp_path / ARCHIVE, members_of(batches()))
  with pytest.raises(UserError) as error:
    load("cifar10", tmp_path)
  for part in (
    str(tmp_path / ARCHIVE),
    sums[ARCHIVE],
    cifar.CHECKSUMS[ARCHIVE],
  ):
    assert part in str(error.value)


def test_a_truncated_archive_names_the_file(tmp_path):
  path = tmp_path / ARCHIVE
  write_archive(path, members_of(batches()))
  path.write_bytes(path.read_bytes()[:-5000])
  sums = {ARCHIVE: hashlib.md5(path.read_bytes()).hexdigest()}
  with pytest.raises(UserError, match=rf"{ARCHIVE}: not a readable tar\.gz"):
    cifar.read_cifar10(tmp_path, sums)


def test_other_members_are_not_looked_at(tmp_path):
  inside = tmp_path / "inside"
  inside.mkdir()
  strange = [
    (name, pickle.dumps(print))
    for name in ("../escaped", "/tmp/escaped", "cifar-10-batches-py/../x")
  ]
  sums = write_archive(inside / ARCHIVE, strange + members_of(batches()))
  assert cifar.read_cifar10(inside, sums).train_images.shape[0] == 20
  assert sorted(p.name for p in tmp_path.rglob("*")) == [ARCHIVE, "inside"]


def test_a_link_in_place_of_a_batch_is_missing(tmp_path):
  path = tmp_path / ARCHIVE
  with tarfile.open(path, "w:gz") as archive:
    link = tarfile.TarInfo("cifar-10-batches-py/test_batch")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    archive.addfile(link)
  sums = {ARCHIVE: hashlib.md5(path.read_bytes()).hexdigest()}
  with pytest.raises(UserError, match=r"lacks .*test_batch"):
    cifar.read_cifar10(tmp_path, sums)


class Calls:
  """Pickles to a call of anything."""

  def __init__(self, function, *arguments):
    self.call = function, arguments

  def __reduce__(self):
    return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
  ("function", "named"),
  [(eval, "eval"), (getattr, "getattr"), (np.load, "load"), (exec, "exec")],
)
def test_a_pickle_that_names_a_function_is_refused(protocol, function, named):
  bomb = pickle.dumps({b"data": Calls(function, "1/0")}, protocol)
  with pytest.raises(
    UserError, match=rf"batch: the pickle asks for \S*{named}"
  ):
    restricted_pickle.loads(bomb, "batch")


@pytest.mark.parametrize(
  "opcodes",
  [
    b"cos\nsystem\n" + short(b"touch MARK") + b"\x85R.",
    b"(" + short(b"touch MARK") + b"ios\nsystem\n.",
    b"cnumpy.core.multiarray\n_reconstruct.__globals__\n.",
    b"\x8c\x05numpy\x8c\x0edtype.__init__\x93.",
  ],
)
def test_hostile_opcodes_run_nothing(opcodes, tmp_path):
  mark = str(tmp_path / "mark").encode()
  opcodes = opcodes.replace(short(b"touch MARK"), short(b"touch " + mark))
  with pytest.raises(UserError, match="the pickle asks for"):
    restricted_pickle.loads(b"\x80\x04" + opcodes, "batch")
  assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
  "content",
  [
    pickle.dumps({b"data": np.array([print], object)[:0]}, 2),
    pickle.dumps({b"data": np.zeros(3, np.float32)}, 2),
    pickle.dumps([1, 2], 2),
    # State for the stand-in class itself, not for an object of it.
    b"\x80\x02cnumpy\ndtype\n}" + short(b"name") + b"K\x01sb.",
    b"\x80\x02cnumpy\ndtype\nN}X\x04\x00\x00\x00nameK\x01s\x86b.",
    b"\x80\x02cnumpy\ndtype\nP1\n.",
    b"",
    b"\x80\x02}",
  ],
)
def test_anything_but_byte_arrays_is_refused(content):
  with pytest.raises(UserError, match="batch: not a readable pickle"):
    restricted_pickle.loads(content, "batch")


def test_a_pickle_of_python_3_is_read_too():
  array = RANDOM.integers(0, 256, (5, 7), dtype=np.uint8)
  for layout in (array, np.asfortranarray(array)):
    content = pickle.dumps({b"data": layout}, 2)
    batch = restricted_pickle.loads(content, "batch")
    np.testing.assert_array_equal(batch[b"data"], array)
