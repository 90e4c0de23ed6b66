"""The file of a split comes back equal, or is refused in one line."""

import re

import numpy as np
import pytest

from syndata_jax import files
from syndata_jax.data import (
  add_dummies,
  load_split,
  make_coin_split,
  make_split,
  save_split,
)
from syndata_jax.errors import UserError

LABELS = np.arange(60) % 5


def split_of(**changes):
  arguments = dict(
    labels=LABELS,
    num_canaries=10,
    num_models=4,
    num_classes=5,
    kind="mislabelled",
    seed=0,
  )
  return make_split(**(arguments | changes))


def with_dummies(split):
  return add_dummies(split, np.arange(30) % 5, 5, "mislabelled", 0)


def assert_equal(loaded, expected):
  for ours, theirs in zip(loaded, expected, strict=True):
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
  "split",
  [
    split_of(),
    with_dummies(split_of(num_average=4, kind="blank")),
    with_dummies(make_coin_split(LABELS, 7, 5, "mislabelled", 0, 3)),
  ],
)
def test_a_saved_split_comes_back(tmp_path, split):
  for name in ("a.npz", "b.npz", "a.npz"):
    save_split(tmp_path / name, split)
  first, second = sorted(tmp_path.iterdir())
  assert (first.name, second.name) == ("a.npz", "b.npz")
  assert first.read_bytes() == second.read_bytes()
  assert_equal(load_split(first), split)


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / "split.npz"
  save_split(path, split_of())
  before = path.read_bytes()

  def fail(*args):
    raise OSError("disk full")

  with monkeypatch.context() as patch:
    patch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
      save_split(path, split_of(seed=1))
  assert path.read_bytes() == before
  assert [p.name for p in tmp_path.iterdir()] == ["split.npz"]


def refusal(path):
  """The message of the refusal, which is one line that names the file."""
  with pytest.raises(UserError) as caught:
    load_split(path)
  message = str(caught.value)
  assert message.startswith(f"{path}: ") and "\n" not in message
  return message.removeprefix(f"{path}: ")


def test_a_split_that_cannot_be_read_is_named(tmp_path):
  path = tmp_path / "split.npz"
  assert refusal(path).startswith("No such file")
  save_split(path, split_of(num_average=4))
  whole = path.read_bytes()
  for length in range(0, len(whole), 61):
    path.write_bytes(whole[:length])
    assert refusal(path).startswith("damaged, or not an .npz archive")
  random = np.random.default_rng(0)
  refused = 0
  for place in random.integers(0, len(whole), 200):
    damaged = bytearray(whole)
    damaged[place] ^= 1 << random.integers(8)
    path.write_bytes(damaged)
    try:
      loaded = load_split(path)
    except UserError:
      refused += 1
    else:
      assert_equal(loaded, split_of(num_average=4))
  assert refused > 100


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"canary_index": None}, "canary_index is missing: must hold canary_i"),
    (
      {"labels": np.zeros(60)},
      r"labels is float64\[60\]: must be 1-dimensional int32",
    ),
    (
      {"membership": np.zeros(10, bool)},
      r"membership is bool\[10\]: must be 2-dimensional bool",
    ),
    (
      {"membership": np.zeros((9, 4), bool)},
      r"membership has shape \[9, 4\]: must be \[10, 4\]",
    ),
    (
      {"average_membership": np.zeros((4, 5), bool)},
      r"average_membership has shape \[4, 5\]: must be \[4, 4\]",
    ),
    (
      {"canary_index": np.arange(-1, 9, dtype=np.int32)},
      r"canary_index spans -1\.\.8: must lie in 0\.\.59",
    ),
    (
      {"labels": np.zeros(9, np.int32)},
      r"canary_index spans \d+\.\.\d+: must lie in 0\.\.8",
    ),
    ({"members": np.zeros((4, 53), np.int32)}, "members are not those that"),
    ({"members": np.zeros((4, 3), np.int32)}, "members are not those that"),
    ({"membership": np.ones((10, 4), bool)}, "members are not those that"),
    ({"dummy_index": None}, "dummy_index is missing: must hold canary_index, "),
    (
      {"dummy_membership": np.zeros((10, 5), bool)},
      r"dummy_membership has shape \[10, 5\]: must be \[10, 4\]",
    ),
    (
      {"dummy_index": np.arange(-1, 9, dtype=np.int32)},
      "dummy_index holds -1: must be rows of the test images",
    ),
    (
      {"dummy_labels": np.zeros(9, np.int32)},
      "dummy_labels has 9 entries: must be 10, as dummy_index",
    ),
  ],
)
def test_arrays_that_do_not_fit_together_are_refused(
  tmp_path, changes, message
):
  path = tmp_path / "split.npz"
  arrays = with_dummies(split_of(num_average=4))._asdict() | changes
  np.savez(path, **{k: a for k, a in arrays.items() if a is not None})
  assert re.match(message, refusal(path))
