"""Tables of text, written by another module and in any order."""

import csv
import io

import numpy as np
import pytest

from syndata_jax.attack import comma_separated, take_in, take_in_arrays
from syndata_jax.errors import UserError

Q, M, K = 12, 6, 3
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(Q, M, K))
LABELS = np.array([0, 2, 1] * 4)
MEMBERSHIP = RNG.permuted(np.tile(np.arange(M) < M // 2, (Q, 1)), axis=1)

ARRAYS = {"loss": "losses", "score": "scores", "confidence": "confidences"}


def _rows(columns, cells, examples=range(Q), models=range(M)):
  """One dict for each line; `cells(q, m)` are those of the value columns."""
  for q, example in enumerate(examples):
    for m, model in enumerate(models):
      keys = {"example": example, "model": model, "member": MEMBERSHIP[q, m]}
      yield keys | dict(zip(columns, cells(q, m), strict=True))


def _write(path, rows, delimiter=",", shuffled=True, encoding="utf-8"):
  rows = list(rows)
  names = list(rows[0])
  if shuffled:
    rows = [rows[place] for place in RNG.permutation(len(rows))]
    names = [names[place] for place in RNG.permutation(len(names))]
  stream = io.StringIO()
  writer = csv.DictWriter(stream, names, delimiter=delimiter)
  writer.writeheader()
  writer.writerows(rows)
  path.write_bytes(stream.getvalue().encode(encoding))
  return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_numbers_come_back(tmp_path, delimiter, encoding):
  for name, array in ARRAYS.items():
    values = RNG.random((Q, M))
    path = _write(
      tmp_path / "p.csv",
      _rows([name], lambda q, m, v=values: [v[q, m]]),
      delimiter,
      encoding=encoding,
    )
    table = comma_separated.read(path)
    assert table.arrays.keys() == {"membership", array}
    np.testing.assert_array_equal(table.arrays["membership"], MEMBERSHIP)
    np.testing.assert_array_equal(table.arrays[array], values)
    assert table.examples == list(map(str, range(Q)))  # 10 after 9, not 1


@pytest.mark.parametrize("names", [["0", "1", "2"], ["cat", "Dog", "fox"]])
def test_classes_come_back_as_from_arrays(tmp_path, names):
  """A label is the name of its class, or its number."""
  path = _write(
    tmp_path / "p.csv",
    _rows(["label", *names], lambda q, m: [names[LABELS[q]], *LOGITS[q, m]]),
    shuffled=False,
  )
  file, _ = take_in(path)
  expected, _ = take_in_arrays(
    {"logits": LOGITS, "labels": LABELS, "membership": MEMBERSHIP}
  )
  for ours, theirs in zip(file.canaries, expected.canaries, strict=True):
    np.testing.assert_array_equal(ours, theirs)
  _write(
    path, _rows(["label", *names], lambda q, m: [LABELS[q], *LOGITS[q, m]])
  )
  np.testing.assert_array_equal(take_in(path).file.canaries.labels, LABELS)


def test_probabilities_and_a_target_by_its_name(tmp_path):
  p = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=-1, keepdims=True)
  models = ["ours", *(f"reference {m}" for m in range(1, M))]
  examples = [f"img_{q}.png" for q in range(Q)]
  columns = ["label", "a", "b", "c"]
  rows = _rows(
    columns, lambda q, m: [LABELS[q], *p[q, m].round(6)], examples, models
  )
  path = _write(tmp_path / "p.csv", rows, shuffled=False)
  file, notes = take_in(path, "reference 2")
  assert file.target == 2
  assert notes == ("logits holds probabilities: their logarithms are attacked",)
  np.testing.assert_allclose(
    file.canaries.logits[:, :, 0], np.log(p), atol=1e-3
  )
  with pytest.raises(
    UserError, match=r"target=2: one of ours, reference 1, .* al"
  ):
    take_in(path, "2")


def test_one_output_a_line(tmp_path):
  labels = LABELS % 2
  path = _write(
    tmp_path / "p.csv",
    _rows(["label", "z"], lambda q, m: [labels[q], LOGITS[q, m, 0]]),
    shuffled=False,
  )
  file, notes = take_in(path)
  expected = np.stack([0 * LOGITS[..., 0], LOGITS[..., 0]], axis=-1)
  np.testing.assert_array_equal(
    file.canaries.logits[:, :, 0], expected.astype(np.float32)
  )
  assert len(notes) == 1


GOOD = list(_rows(["score"], lambda q, m: [q + m]))
NEEDED = (
  "example, model, member, and score, loss, confidence, or label and one"
  " column for each class needed"
)


def _replaced(line, **cells):
  return [*GOOD[:line], GOOD[line] | cells, *GOOD[line + 1 :]]


@pytest.mark.parametrize(
  ("rows", "message"),
  [
    (
      [row for row in GOOD if (row["example"], row["model"]) != (3, 2)],
      "example 3 and model 2 have no line: each of the 12 examples needs one"
      " with each of the 6 models",
    ),
    (
      [*GOOD, GOOD[7]],
      "example 1 and model 1 have several lines: each of the 12 examples needs"
      " one with each of the 6 models",
    ),
    (
      _replaced(7, score=""),
      "score of example 1 and model 1 is '': a finite number needed",
    ),
    (
      _replaced(7, score="nan"),
      "score of example 1 and model 1 is 'nan': a finite number needed",
    ),
    (
      _replaced(7, member="maybe"),
      "member of example 1 and model 1 is 'maybe': 0, 1, false or true needed",
    ),
    (
      [{"id": 1, "model": 2}],
      f"column example is missing: {NEEDED}",
    ),
    (
      [{"example": 1, "model": 2, "member": 0, "y": 3}],
      f"columns are example, model, member, y: {NEEDED}",
    ),
    (
      [{"example": 1, "model": 2, "member": 0, "Score": 3, "score": 3}],
      f"column 'score' stands there twice: {NEEDED}",
    ),
    (
      list(_rows(["label", "a", "b"], lambda q, m: [m % 2, 0.5, 1.5])),
      "example 0 has several labels: that of training needed, the same for"
      " every model",
    ),
    (
      list(_rows(["label", "a", "b"], lambda q, m: ["c", 0.5, 1.5])),
      "label of example 0 and model 0 is 'c': a class's name or number needed",
    ),
    (
      list(_rows(["label", "a", "b"], lambda q, m: [2, 0.5, 1.5])),
      "labels holds 2: 0 to 1 allowed",
    ),
  ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, rows, message):
  path = _write(tmp_path / "p.csv", rows, shuffled=False)
  with pytest.raises(UserError) as caught:
    take_in(path)
  assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (b"", "0 lines: one of names and others below needed"),
    (b"example,model,member,score\n", "1 lines: one of names"),
    (b"example,model,member,score\n\n1,2,0\n", "line 3 has 3 cells: 4 needed"),
    (b"PK\x03\x04\xff\xfe", "not UTF-8 text"),
    (b"example,model,member,score\n1,2,0,\x00\n", ""),
  ],
)
def test_what_is_no_table(tmp_path, content, message):
  path = tmp_path / "p.csv"
  path.write_bytes(content)
  with pytest.raises(UserError) as caught:
    take_in(path)
  assert str(caught.value).startswith(f"{path}: {message}")
  assert "\n" not in str(caught.value)


def test_no_such_table(tmp_path):
  with pytest.raises(
    UserError, match=r"p\.csv: No such file or directory: a t"
  ):
    take_in(tmp_path / "p.csv")
