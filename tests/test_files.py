"""Files are whole or absent, whatever happens to their writer."""

import stat
import subprocess
import sys
import threading

import numpy as np
import pytest

from syndata_jax import files
from syndata_jax.errors import UserError


def names(folder):
  return sorted(path.name for path in folder.iterdir())


def test_bytes_and_text_are_what_is_read(tmp_path):
  files.write(tmp_path / "a", b"\x00\xff\r\n")
  files.write(str(tmp_path / "b"), "grün\n")
  assert (tmp_path / "a").read_bytes() == b"\x00\xff\r\n"
  assert (tmp_path / "b").read_bytes() == b"gr\xc3\xbcn\n"
  files.write(tmp_path / "a", b"")
  assert (tmp_path / "a").read_bytes() == b""
  assert names(tmp_path) == ["a", "b"]


def test_the_target_is_not_there_before_the_end(tmp_path):
  path = tmp_path / "set.npz"
  path.write_bytes(b"before")
  with files.write_stream(path) as stream:
    stream.write(b"after")
    stream.flush()
    assert path.read_bytes() == b"before"
    (other,) = set(tmp_path.iterdir()) - {path}
    assert files.is_unfinished(other) and not files.is_unfinished(path)
  assert path.read_bytes() == b"after"
  assert names(tmp_path) == ["set.npz"]


def test_a_private_file_is_private_from_its_first_byte(tmp_path):
  path = tmp_path / "private"
  path.write_bytes(b"before")
  path.chmod(0o644)
  with files.write_stream(path, files.PRIVATE) as stream:
    (other,) = set(tmp_path.iterdir()) - {path}
    assert stat.S_IMODE(other.stat().st_mode) == 0o600
    stream.write(b"after")
  assert stat.S_IMODE(path.stat().st_mode) == 0o600
  files.write(path, b"")
  (tmp_path / "plain").write_bytes(b"")
  usual = (tmp_path / "plain").stat().st_mode
  assert path.stat().st_mode == usual


def test_arrays_go_through_and_equal_ones_give_equal_bytes(tmp_path):
  arrays = {"a": np.arange(5000.0), "b": np.ones(3, bool)}
  for name in ("one.npz", "two.npz"):
    with files.write_stream(tmp_path / name) as stream:
      np.savez(stream, **arrays)
  one, two = (tmp_path / name for name in ("one.npz", "two.npz"))
  assert one.read_bytes() == two.read_bytes()
  with np.load(one) as archive:
    for name, array in arrays.items():
      np.testing.assert_array_equal(archive[name], array)


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_the_old_file(tmp_path, error):
  path = tmp_path / "set.npz"
  path.write_bytes(b"before")
  with pytest.raises(error), files.write_stream(path) as stream:
    stream.write(b"half")
    raise error
  assert path.read_bytes() == b"before"
  assert names(tmp_path) == ["set.npz"]


def test_a_rename_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / "a"
  path.write_bytes(b"before")

  def refuse(*_):
    raise OSError("disk full")

  monkeypatch.setattr(files.os, "replace", refuse)
  with pytest.raises(OSError, match="disk full"):
    files.write(path, b"after")
  assert path.read_bytes() == b"before"
  assert names(tmp_path) == ["a"]


def test_a_killed_writer_leaves_what_can_be_told(tmp_path):
  path = tmp_path / "a"
  path.write_bytes(b"before")
  program = f"""
import os
from syndata_jax import files
with files.write_stream({str(path)!r}) as stream:
  stream.write(b"half")
  stream.flush()
  os.kill(os.getpid(), 9)
"""
  ended = subprocess.run([sys.executable, "-c", program], check=False)
  assert ended.returncode == -9
  assert path.read_bytes() == b"before"
  (left,) = set(tmp_path.iterdir()) - {path}
  assert files.is_unfinished(left)
  files.write(path, b"after")
  assert path.read_bytes() == b"after"


def test_writers_of_one_target_do_not_mix(tmp_path):
  path, barrier = tmp_path / "a", threading.Barrier(8)

  def write(byte):
    with files.write_stream(path) as stream:
      barrier.wait()
      for _ in range(64):
        stream.write(byte * 1000)

  threads = [
    threading.Thread(target=write, args=(bytes([65 + i]),)) for i in range(8)
  ]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  content = path.read_bytes()
  assert len(content) == 64_000 and len(set(content)) == 1
  assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("value", [{"a": [1, 0.1, None], "b": "ü"}, [], 3])
def test_json_comes_back(tmp_path, value):
  files.write_json(tmp_path / "a.json", value)
  assert files.read_json(tmp_path / "a.json") == value
  assert (tmp_path / "a.json").read_text().endswith("\n")


def test_json_is_indented(tmp_path):
  files.write_json(tmp_path / "a.json", {"a": 1})
  assert (tmp_path / "a.json").read_bytes() == b'{\n  "a": 1\n}\n'


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe{}"])
def test_damaged_json_is_named(tmp_path, content):
  path = tmp_path / "a.json"
  path.write_bytes(content)
  with pytest.raises(UserError) as caught:
    files.read_json(path)
  message = str(caught.value)
  assert message.startswith(f"{path}: damaged (")
  assert message.endswith("); delete it")
  assert "\n" not in message


def test_missing_json_is_named(tmp_path):
  path = tmp_path / "a.json"
  with pytest.raises(
    UserError, match=r"a\.json: cannot be read \(No such file"
  ):
    files.read_json(path)
