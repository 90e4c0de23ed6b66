"""Files of predictions: what is read back, and every way to be refused."""

import contextlib
import io
import re
from collections.abc import Mapping

import numpy as np
import pytest

from syndata_jax import files
from syndata_jax.attack import (
  Closeness,
  GradientCanaries,
  OtherNetwork,
  PredictionFile,
  Predictions,
  load_predictions,
  save_predictions,
)
from syndata_jax.errors import UserError

Q, M, A, K = 5, 8, 2, 3


def _predictions(seed=0, examples=Q, models=M, classes=K):
  rng = np.random.default_rng(seed)
  half = np.tile(np.arange(models) < models // 2, (examples, 1))
  return Predictions(
    rng.normal(size=(examples, models, A, classes)).astype(np.float32),
    rng.integers(0, classes, examples).astype(np.int32),
    rng.permuted(half, axis=1),
  )


def _full():
  accuracy = np.linspace(0, 1, M, dtype=np.float32)
  return PredictionFile(_predictions(), _predictions(1, 4), accuracy)


def _arrays():
  """The arrays of a good file, by the names that they have in it."""
  canaries, average, accuracy, *_ = _full()
  prefixed = {f"average_{k}": v for k, v in average._asdict().items()}
  return canaries._asdict() | prefixed | {"test_accuracy": accuracy}


def _others():
  """A teacher, and a network of which no accuracy is known."""
  accuracy = np.linspace(1, 0, M, dtype=np.float32)
  return {
    "teacher": OtherNetwork(_predictions(2).logits, accuracy),
    "base_2": OtherNetwork(_predictions(3).logits),
  }


def _closeness(seed=5):
  """In two spaces, of canaries and of the average case."""
  rng = np.random.default_rng(seed)
  draw = lambda examples: -rng.random((examples, M)).astype(np.float32)
  return {name: Closeness(draw(Q), draw(4)) for name in ("pixels", "my_2")}


def _white_box():
  rng = np.random.default_rng(9)
  scores = rng.normal(size=(7, M)).astype(np.float32)
  return GradientCanaries(scores, rng.random((7, M)) < 0.5)


def _assert_equal(loaded, expected):
  for ours, theirs in zip(loaded, expected, strict=True):
    if isinstance(theirs, tuple):
      _assert_equal(ours, theirs)
    elif theirs is None or isinstance(theirs, int):
      assert ours == theirs
    elif isinstance(theirs, Mapping):
      assert list(ours) == list(theirs)
      _assert_equal(tuple(ours.values()), tuple(theirs.values()))
    else:
      assert ours.dtype == theirs.dtype
      np.testing.assert_array_equal(ours, theirs)


def _refusal(path):
  """The message of the refusal, which is one line that names the file."""
  with pytest.raises(UserError) as caught:
    load_predictions(path)
  message = str(caught.value)
  assert message.startswith(f"{path}: ")
  assert "\n" not in message
  return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
  "file",
  [
    _full(),
    PredictionFile(_predictions()),
    _full()._replace(average=None),
    _full()._replace(test_accuracy=None),
    _full()._replace(others=_others()),
    _full()._replace(closeness=_closeness()),
    PredictionFile(
      _predictions(), selected=_predictions().membership, others=_others()
    ),
  ],
)
def test_reads_back_what_was_saved(tmp_path, file):
  save_predictions(tmp_path / "predictions.npz", file)
  _assert_equal(load_predictions(tmp_path / "predictions.npz"), file)


def test_names_of_the_arrays(tmp_path):
  path = tmp_path / "predictions.npz"
  save_predictions(str(path), _full())
  with np.load(path) as archive:
    assert {name: archive[name].dtype.str for name in archive} == {
      "logits": "<f4",
      "labels": "<i4",
      "membership": "|b1",
      "average_logits": "<f4",
      "average_labels": "<i4",
      "average_membership": "|b1",
      "test_accuracy": "<f4",
    }


def test_names_of_the_arrays_of_other_networks(tmp_path):
  path = tmp_path / "predictions.npz"
  save_predictions(path, PredictionFile(_predictions(), others=_others()))
  with np.load(path) as archive:
    assert archive.files[3:] == [
      "other_teacher_logits",
      "other_teacher_test_accuracy",
      "other_base_2_logits",
    ]


def test_another_network_is_taken_from_other_frameworks(tmp_path):
  arrays = _arrays()
  logits = _others()["teacher"].logits
  accuracy = np.linspace(0, 1, M)
  np.savez(
    tmp_path / "p.npz",
    other_a_logits=logits.astype(np.float64),
    other_a_test_accuracy=accuracy,
    other_note=np.array({"never": "read"}, object),
    **arrays,
  )
  (name, other), *rest = load_predictions(tmp_path / "p.npz").others.items()
  assert (name, rest) == ("a", [])
  assert other.logits.dtype == other.test_accuracy.dtype == np.float32
  np.testing.assert_array_equal(other.logits, logits)
  np.testing.assert_array_equal(other.test_accuracy, accuracy.astype("f4"))
  # One view without its axis, as of the network itself.
  plain = {
    "logits": arrays["logits"][:, :, 0],
    "other_a_logits": logits[:, :, 0],
  }
  np.savez(tmp_path / "p.npz", **arrays | plain)
  other = load_predictions(tmp_path / "p.npz").others["a"]
  np.testing.assert_array_equal(other.logits, logits[:, :, :1])


@pytest.mark.parametrize("name", ["Teacher", "a b", "", "a-b", "ä", "a\nb"])
def test_another_networks_name_is_plain(tmp_path, name):
  path = tmp_path / "p.npz"
  others = {name: _others()["teacher"]}
  with pytest.raises(UserError) as caught:
    save_predictions(path, _full()._replace(others=others))
  assert str(caught.value) == (
    f"{path}: other network {name!r}: a-z, 0-9 and _ allowed"
  )
  assert not path.exists()


def test_equal_predictions_give_equal_bytes_and_no_other_file(tmp_path):
  for name in ("a.npz", "b.npz", "a.npz"):
    save_predictions(tmp_path / name, _full())
  assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz", "b.npz"]
  first, second = (tmp_path / name for name in ("a.npz", "b.npz"))
  assert first.read_bytes() == second.read_bytes()


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / "predictions.npz"
  save_predictions(path, _full())
  before = path.read_bytes()
  diverged = _full()
  diverged.canaries.logits[3, 1] = np.nan
  with pytest.raises(UserError, match=r"logits holds nan at \[3, 1, 0, 0\]"):
    save_predictions(path, diverged)

  def full_disk(*_):
    raise OSError("no space left")

  monkeypatch.setattr(files.os, "replace", full_disk)
  with pytest.raises(OSError, match="no space left"):
    save_predictions(path, PredictionFile(_predictions(7)))
  assert path.read_bytes() == before
  assert list(tmp_path.iterdir()) == [path]


def test_logits_without_an_axis_of_views_are_one_view(tmp_path):
  arrays = _arrays()
  plain = arrays["logits"][:, :, 0]
  np.savez(tmp_path / "p.npz", **arrays | {"logits": plain})
  canaries = load_predictions(tmp_path / "p.npz").canaries
  np.testing.assert_array_equal(canaries.logits, plain[:, :, None])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_takes_what_other_frameworks_write(tmp_path, save):
  arrays = _arrays()
  arrays["logits"] = arrays["logits"].astype(np.float64)
  arrays["labels"] = arrays["labels"].astype(np.int64)
  arrays["membership"] = arrays["membership"].astype(np.uint8)
  arrays["average_membership"] = arrays["average_membership"].astype(float)
  arrays["a_note"] = np.array({"pickled": "but never read"}, object)
  save(tmp_path / "p.npz", **arrays)
  _assert_equal(load_predictions(tmp_path / "p.npz"), _full())


def test_rows_of_membership_need_not_be_balanced(tmp_path):
  predictions = _predictions()
  predictions.membership[:] = np.arange(M) < 2
  predictions.membership[1] = np.arange(M) < M - 2
  file = PredictionFile(predictions)
  save_predictions(tmp_path / "p.npz", file)
  _assert_equal(load_predictions(tmp_path / "p.npz"), file)


def test_one_model_needs_one_of_each_side_in_its_column(tmp_path):
  one = _predictions(0, Q, 1)
  one.membership[:] = (np.arange(Q) == 2)[:, None]
  save_predictions(tmp_path / "p.npz", PredictionFile(one))
  _assert_equal(load_predictions(tmp_path / "p.npz"), PredictionFile(one))
  for membership in (np.zeros((Q, 1), bool), np.ones((Q, 1), bool)):
    np.savez(tmp_path / "p.npz", **one._asdict() | {"membership": membership})
    assert re.match(
      r"membership has \d members among 5 examples of one model",
      _refusal(tmp_path / "p.npz"),
    )


def _put(name, place, value):
  def change(arrays):
    changed = arrays[name].copy()
    changed[place] = value
    return {name: changed}

  return change


def _be(**replaced):
  return lambda arrays: replaced


BAD_ARRAYS = [
  # Shapes.
  (_be(logits=np.zeros((Q, M))), r"logits has shape \(5, 8\): \[examples"),
  (_be(logits=np.zeros((Q, M, A, K, 1))), "logits has shape"),
  (_be(logits=np.zeros((Q, M, A, 1))), "logits has .* with 2 classes or more"),
  (_be(logits=np.zeros((Q, M, 0, K))), r"logits has shape \(5, 8, 0, 3\)"),
  (_be(logits=np.zeros((0, M, A, K))), r"logits has shape \(0, 8, 2, 3\)"),
  (_be(labels=np.zeros(4, int)), r"labels has shape \(4,\): \(5,\) needed"),
  (_be(labels=np.zeros((Q, 1), int)), r"labels has shape \(5, 1\)"),
  (
    _be(membership=np.ones((M, Q), bool)),
    r"membership has shape \(8, 5\): \(5, 8\) needed",
  ),
  (_be(test_accuracy=np.ones(3)), r"test_accuracy has shape \(3,\): \(8,\)"),
  (_be(average_labels=np.zeros(Q, int)), r"average_labels has shape \(5,\)"),
  (
    lambda _: {
      f"average_{k}": v for k, v in _predictions(0, 4, 6)._asdict().items()
    },
    "average_logits has 6 models: 8 as in logits",
  ),
  (
    lambda _: {
      f"average_{k}": v for k, v in _predictions(0, 4, M, 4)._asdict().items()
    },
    "average_logits has 4 classes: 3 as in logits",
  ),
  (
    _be(other_x_logits=np.zeros((Q, M, A, K + 1))),
    r"other_x_logits has shape \(5, 8, 2, 4\): \(5, 8, 2, 3\) as logits",
  ),
  (
    _be(other_x_logits=np.zeros((Q, M - 1, A, K))),
    r"other_x_logits has shape \(5, 7, 2, 3\)",
  ),
  (
    _be(other_x_logits=np.zeros((Q - 1, M, A, K))),
    r"other_x_logits has shape \(4, 8, 2, 3\)",
  ),
  (
    _be(other_x_logits=np.zeros((Q, M, K))),
    r"other_x_logits has shape \(5, 8, 1, 3\): \(5, 8, 2, 3\) as logits",
  ),
  (
    _be(other_x_test_accuracy=np.ones(M)),
    "other_x_logits is missing: needed beside other_x_test_accuracy",
  ),
  (
    _be(
      other_x_logits=np.zeros((Q, M, A, K)), other_x_test_accuracy=np.ones(3)
    ),
    r"other_x_test_accuracy has shape \(3,\): \(8,\) needed",
  ),
  # Types.
  (
    _be(other_x_logits=np.zeros((Q, M, A, K), int)),
    "other_x_logits has dtype int64: floating point needed",
  ),
  (_be(logits=np.zeros((Q, M, A, K), "U1")), "logits has dtype <U1"),
  (_be(logits=np.zeros((Q, M, A, K), complex)), "logits has dtype complex128"),
  (_be(labels=np.zeros(Q)), "labels has dtype float64: integers needed"),
  (
    _be(membership=np.full((Q, M), "yes")),
    "membership has dtype <U3: bool, or 0 and 1 needed",
  ),
  (_be(test_accuracy=np.array(["a"] * M)), "test_accuracy has dtype <U1"),
  # Values.
  (_put("logits", (3, 1, 0, 2), np.nan), r"logits holds nan at \[3, 1, 0, 2\]"),
  (_put("logits", (0, 0, 1, 0), np.inf), r"logits holds inf at \[0, 0, 1, 0\]"),
  (
    _be(logits=np.full((Q, M, A, K), 1e300)),
    r"logits holds inf at \[0, 0, 0, 0\]: finite float32 allowed",
  ),
  (_put("average_logits", (0, 0, 0, 0), -np.inf), "average_logits holds -inf"),
  (_put("labels", 2, K), r"labels holds 3: 0 to 2 allowed"),
  (_put("labels", 2, -1), r"labels holds -1: 0 to 2 allowed"),
  (_put("average_labels", 0, 9), "average_labels holds 9: 0 to 2 allowed"),
  (
    _be(membership=np.full((Q, M), 2)),
    "membership holds 2: 0 and 1 allowed",
  ),
  (_be(membership=np.full((Q, M), 0.5)), "membership holds 0.5"),
  (_be(membership=np.full((Q, M), np.nan)), "membership holds nan"),
  (_put("test_accuracy", 1, 94.5), "test_accuracy holds 94.5: fractions"),
  (_put("test_accuracy", 1, np.nan), "test_accuracy holds nan: fractions"),
  (
    _be(other_x_logits=np.full((Q, M, A, K), np.nan)),
    r"other_x_logits holds nan at \[0, 0, 0, 0\]",
  ),
  (
    _be(
      other_x_logits=np.zeros((Q, M, A, K)),
      other_x_test_accuracy=np.full(M, 94.5),
    ),
    "other_x_test_accuracy holds 94.5: fractions",
  ),
  # How close images come.
  (
    _be(closeness_x=np.zeros((Q, M), int)),
    r"closeness_x has dtype int64: floating point needed",
  ),
  (
    _be(closeness_x=np.zeros((M, Q))),
    r"closeness_x has shape \(8, 5\): \(5, 8\) needed",
  ),
  (
    _be(closeness_x=np.full((Q, M), -np.inf)),
    r"closeness_x holds -inf at \[0, 0\]: finite float32 allowed",
  ),
  (
    _be(closeness_x=np.zeros((Q, M))),
    "average_closeness_x is missing: closeness of every population needed",
  ),
  (
    _be(average_closeness_x=np.zeros((4, M))),
    "closeness_x is missing",
  ),
  (
    _be(
      closeness_x=np.zeros((Q, M)),
      average_closeness_x=np.zeros((4, M)),
      dummy_closeness_x=np.zeros((4, M)),
    ),
    "dummy_closeness_x: needs the logits of its examples beside it",
  ),
  (
    _be(**{"closeness_a b": np.zeros((Q, M))}),
    "closeness in 'a b': a-z, 0-9 and _ allowed",
  ),
  # Too few.
  (
    _put("membership", 4, np.arange(M) < 1),
    "membership row 4 has 1 members and 7 non-members: at least 2 of each"
    " needed, or a target that the other models are references for, or one"
    " model alone$",
  ),
  (
    _put("average_membership", 1, True),
    "average_membership row 1 has 8 members and 0 non-members",
  ),
  (
    lambda _: _predictions(0, Q, 2)._asdict() | {"test_accuracy": np.ones(2)},
    "membership row 0 has 1 members and 1 non-members",
  ),
]


@pytest.mark.parametrize("change, message", BAD_ARRAYS)
def test_refuses_bad_arrays(tmp_path, change, message):
  arrays = _arrays()
  np.savez(tmp_path / "p.npz", **arrays | change(arrays))
  assert re.match(message, _refusal(tmp_path / "p.npz"))


@pytest.mark.parametrize("prefix", ["", "average_"])
@pytest.mark.parametrize("name", Predictions._fields)
def test_refuses_a_file_without_one_of_three(tmp_path, prefix, name):
  arrays = _arrays()
  del arrays[prefix + name]
  np.savez(tmp_path / "p.npz", **arrays)
  message = _refusal(tmp_path / "p.npz")
  assert message.startswith(f"{prefix}{name} is missing: {prefix}logits, ")


def test_refuses_an_array_of_objects(tmp_path):
  objects = np.array([None] * Q, object)
  np.savez(tmp_path / "p.npz", **_arrays() | {"labels": objects})
  assert "archive of plain arrays" in _refusal(tmp_path / "p.npz")


def test_refuses_a_path_that_is_no_file(tmp_path):
  assert "No such file" in _refusal(tmp_path / "nowhere.npz")
  assert "Is a directory" in _refusal(tmp_path)


def test_a_target_among_references_of_either_side(tmp_path):
  """References may be members of no row, or of all but two models."""
  membership = np.zeros((Q, M), bool)
  membership[:2, 3] = True
  membership[1, :3] = membership[1, 4:6] = True
  one = _predictions()._replace(membership=membership)
  path, file = tmp_path / "p.npz", PredictionFile(one, target=3)
  save_predictions(path, file)
  _assert_equal(load_predictions(path), file)

  one.membership[1, 6] = True
  np.savez(path, **one._asdict(), target=3)
  assert _refusal(path) == (
    "membership row 1 has 1 non-members beside target 3: at least 2 needed"
  )
  np.savez(path, **one._asdict(), target=7)
  assert _refusal(path) == (
    "membership has 0 members among 5 examples of the target, 7: at least one"
    " member and one non-member needed"
  )
  np.savez(path, **one._asdict(), target=8)
  assert _refusal(path) == "target=8: 0 to 7 allowed"


def _bytes(save, *arrays):
  stream = io.BytesIO()
  save(stream, *arrays)
  return stream.getvalue()


@pytest.mark.parametrize(
  "content",
  [
    b"",
    b"PK\x03\x04",
    b"logits,labels\n1,2\n",
    _bytes(np.save, np.zeros((Q, M, A, K))),
    b"\x80\x04N.",  # a pickle of None
  ],
)
def test_refuses_what_is_no_archive(tmp_path, content):
  (tmp_path / "p.npz").write_bytes(content)
  assert "a file written by numpy.savez needed" in _refusal(tmp_path / "p.npz")


def test_refuses_an_archive_of_something_else(tmp_path):
  np.savez(tmp_path / "p.npz", np.zeros(3))
  assert _refusal(tmp_path / "p.npz").startswith("logits is missing")


def test_damage_is_refused_or_does_no_harm(tmp_path):
  path = tmp_path / "p.npz"
  save_predictions(path, _full())
  whole = path.read_bytes()
  rng = np.random.default_rng(0)
  for place in rng.integers(0, len(whole), 300):
    damaged = bytearray(whole)
    damaged[place] ^= 1 << rng.integers(8)
    path.write_bytes(damaged)
    with contextlib.suppress(UserError):
      _assert_equal(load_predictions(path).canaries, _full().canaries)
  for length in range(0, len(whole), 97):
    path.write_bytes(whole[:length])
    _refusal(path)


def test_dummies_and_a_target_come_back(tmp_path):
  file = PredictionFile(_predictions(), dummies=_predictions(1, 4), target=2)
  save_predictions(tmp_path / "p.npz", file)
  _assert_equal(load_predictions(tmp_path / "p.npz"), file)


@pytest.mark.parametrize("target", [-1, 99, 0.5, [1]])
def test_a_target_that_is_no_model_is_refused(tmp_path, target):
  file = PredictionFile(_predictions(), target=target)
  with pytest.raises(UserError, match="target"):
    save_predictions(tmp_path / "p.npz", file)


def test_gradient_canaries_are_read_back(tmp_path):
  path = tmp_path / "predictions.npz"
  file = _full()._replace(white_box=_white_box())
  save_predictions(path, file)
  _assert_equal(load_predictions(path), file)


@pytest.mark.parametrize(
  "change, message",
  [
    ({"white_box_scores": np.zeros(7)}, "white_box_scores: must be float"),
    ({"white_box_scores": np.zeros((7, M - 1))}, "of 7 models: must be 8"),
    ({"white_box_scores": np.full((7, M), 1e300)}, "must be finite"),
    ({"white_box_included": np.full((7, M), 2)}, "must be bool of the shape"),
    ({"white_box_included": None}, "must be bool of the shape"),
    ({"white_box_scores": None}, "white_box_scores: must be float"),
  ],
)
def test_gradient_canaries_are_checked(tmp_path, change, message):
  white_box = {f"white_box_{k}": v for k, v in _white_box()._asdict().items()}
  arrays = {
    name: array
    for name, array in (_arrays() | white_box | change).items()
    if array is not None
  }
  path = tmp_path / "predictions.npz"
  np.savez(path, **arrays)
  with pytest.raises(UserError, match=message):
    load_predictions(path)
