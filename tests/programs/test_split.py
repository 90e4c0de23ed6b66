"""syndata-split: what it draws, says and refuses, and where it leads."""

import contextlib
import io
import json
import pathlib
import re
import sys

import numpy as np
import pytest
from absl.testing import flagsaver
from sklearn.datasets import load_digits

from syndata_jax import data
from syndata_jax.programs import split

README = pathlib.Path(__file__).parents[2] / "README.md"
N, Q, M, K = 60, 8, 6, 4
LABELS = np.random.default_rng(0).integers(0, K, N)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
  """The working directory, with labels in it."""
  monkeypatch.chdir(tmp_path)
  np.save("labels.npy", LABELS)
  np.save("test.npy", LABELS[:5])
  return tmp_path


def _start(monkeypatch, *arguments):
  """Exit code, standard output and standard error."""
  monkeypatch.setattr(sys, "argv", ["syndata-split", *arguments])
  out, err, code = io.StringIO(), io.StringIO(), 0
  with (
    flagsaver.flagsaver(),
    contextlib.redirect_stdout(out),
    contextlib.redirect_stderr(err),
  ):
    try:
      split.run()
    except SystemExit as end:
      code = end.code
  return code, out.getvalue(), err.getvalue()


@pytest.fixture
def drawn(monkeypatch):
  """`drawn(*arguments)`: the arrays, and what was said."""

  def draw(*arguments, name="s.npz"):
    code, out, err = _start(
      monkeypatch,
      f"--num_canaries={Q}",
      f"--num_models={M}",
      f"--out={name}",
      *arguments,
    )
    assert (code, err) == (0, "")
    with np.load(name, allow_pickle=False) as archive:
      return dict(archive), out

  return draw


def test_mislabelled_canaries_in_half_of_the_models(drawn):
  arrays, text = drawn("--labels=labels.npy")
  rows, members = arrays["canary_index"], arrays["members"]
  assert arrays["membership"].shape == (Q, M)
  assert (arrays["membership"].sum(axis=1) == M // 2).all()
  assert (arrays["membership"].sum(axis=0) == Q // 2).all()
  for q, row in enumerate(rows):
    has = [row in members[m] for m in range(M)]
    np.testing.assert_array_equal(has, arrays["membership"][q])
  others = np.setdiff1d(np.arange(N), rows)
  assert all(np.isin(others, each).all() for each in members)
  changed = arrays["labels"] != LABELS
  np.testing.assert_array_equal(np.flatnonzero(changed), np.sort(rows))
  assert arrays["labels"].max() < K
  # The same as a run of this package with these numbers.
  expected = data.make_split(LABELS, Q, M, K, "mislabelled", 0)
  for name in ("canary_index", "labels", "membership", "members"):
    np.testing.assert_array_equal(arrays[name], getattr(expected, name))
  assert len(text.splitlines()) < 24
  assert "8 mislabelled canaries, each in half of 6 models" in text
  assert "labels=labels[canary_index]" in text and "average" not in text


def test_without_labels_canaries_are_as_they_are(drawn):
  arrays, text = drawn(f"--num_examples={N}")
  assert arrays.keys() == {"canary_index", "membership", "members"}
  assert "8 clean canaries" in text and "your labels" in text
  with_labels, _ = drawn("--labels=labels.npy", name="other.npz")
  for name, array in arrays.items():
    np.testing.assert_array_equal(array, with_labels[name])
  other, _ = drawn(f"--num_examples={N}", "--seed=1", name="seed.npz")
  assert (other["canary_index"] != arrays["canary_index"]).any()


def test_ordinary_examples_and_dummies(drawn):
  arrays, text = drawn(
    "--labels=labels.npy", "--num_average=4", "--test_labels=test.npy"
  )
  assert arrays["average_membership"].shape == (4, M)
  assert not np.isin(arrays["average_index"], arrays["canary_index"]).any()
  # Five test images make four dummies: half of an even number in each model.
  assert arrays["dummy_membership"].shape == (4, M)
  assert (arrays["dummy_membership"].sum(axis=1) == M // 2).all()
  assert (arrays["dummy_membership"] != arrays["membership"][:4]).any()
  true = LABELS[:5][arrays["dummy_index"]]
  assert (arrays["dummy_labels"] != true).all()
  assert "dummy_index" in text and "average_index" in text


def test_one_model_by_fair_coins(monkeypatch):
  np.save("many.npy", np.arange(600) % K)
  arguments = ("--labels=many.npy", "--num_canaries=500", "--num_models=1")
  assert _start(monkeypatch, *arguments, "--out=s.npz")[0] == 0
  with np.load("s.npz") as arrays:
    members = arrays["membership"].sum()
    assert 200 < members < 300 and members != 250
    assert arrays["members"].shape == (1, 600 - 500 + members)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ([], r"--out: name the \.npz to write"),
    (["--out=s.npz"], "--num_canaries: say how many"),
    (["--out=labels.npy"], r"--out=labels\.npy: exists; name another file"),
    (
      ["--out=no/s.npz", "--num_canaries=2", "--num_examples=9"],
      r"--out=no/s\.npz: cannot be written \(No such file or directory\)",
    ),
    (
      ["--out=s.npz", "--num_canaries=2"],
      r"give --num_examples=N or --labels=FILE\.npy",
    ),
    (
      ["--out=s.npz", "--num_canaries=3", "--num_examples=9"],
      "num_canaries=3: must be even and at least 2",
    ),
    (
      ["--out=s.npz", "--num_canaries=12", "--num_examples=9"],
      "num_canaries=12 and num_average=0: must be at most 9 together, .*",
    ),
    (
      ["--out=s.npz", "--num_canaries=2", "--num_examples=0"],
      "num_examples=0: must be at least 1",
    ),
    (
      ["--out=s.npz", "--num_canaries=2", "--num_examples=9", "--num_models=5"],
      "num_models=5: must be even and at least 2",
    ),
    (
      ["--out=s.npz", "--num_canaries=2", "--num_examples=9", "--seed=-1"],
      r"--seed=-1: must be 0 to 2\*\*32 - 1",
    ),
    (
      ["--out=s.npz", "--num_canaries=2", "--labels=no.npy"],
      r"--labels=no\.npy: No such file or directory: a \.npy of integers .*",
    ),
    (
      ["--out=s.npz", "--num_canaries=2", "--labels=float.npy"],
      r"--labels=float\.npy: is float64\[3\]: integers needed",
    ),
    (
      ["--out=s.npz", "--num_canaries=2", "--labels=text.npy"],
      r"--labels=text\.npy: \w+: a \.npy of integers needed, by numpy\.save",
    ),
    (
      [
        "--out=s.npz",
        "--num_canaries=2",
        "--labels=labels.npy",
        "--num_examples=9",
      ],
      "--num_examples=9: --labels has 60",
    ),
    (
      [
        "--out=s.npz",
        "--num_canaries=2",
        "--labels=labels.npy",
        "--num_classes=2",
      ],
      r"labels spans 0\.\.3: must lie in 0\.\.1",
    ),
    (
      [
        "--out=s.npz",
        "--num_canaries=2",
        "--num_examples=9",
        "--test_labels=labels.npy",
      ],
      "--test_labels: needs --labels",
    ),
    (["--out=s.npz", "--num_canaries=two"], "--num_canaries=two: .*integer"),
    (["--config=x.py"], "--config=x.py: .*"),
  ],
)
def test_mistakes_are_one_line(monkeypatch, folder, arguments, message):
  np.save("float.npy", np.zeros(3))
  pathlib.Path("text.npy").write_text("0 1 2")
  code, out, err = _start(monkeypatch, *arguments)
  assert (code, out) == (2, "")
  assert re.fullmatch(f"syndata-split: (flag )?{message}\n", err), err
  assert not (folder / "s.npz").exists()


def _noisy(arrays, true):
  """Logits of models that learned by heart what they were given."""
  rng = np.random.default_rng(1)
  rows = arrays["canary_index"]
  logits = rng.normal(size=(len(rows), M, K))
  logits[np.arange(len(rows)), :, true[rows]] += 3
  wrong = arrays["labels"][rows]
  logits[np.arange(len(rows)), :, wrong] += 12 * arrays["membership"]
  return logits, wrong


def test_what_it_says_leads_to_a_report(drawn, start, folder):
  np.save("labels.npy", np.arange(600) % K)
  arrays, text = drawn("--labels=labels.npy", "--num_canaries=200")
  logits, labels = _noisy(arrays, np.arange(600) % K)
  np.savez(
    "logits.npz", logits=logits, labels=labels, membership=arrays["membership"]
  )
  command = text.splitlines()[-1].split("syndata-audit ")[1].split()
  ended = start(*command)
  assert ended.code == 0, ended.err
  found = json.loads((folder / "runs/elsewhere/attack.json").read_text())
  assert found["canaries"]["attacks"][0]["auc"]["value"] > 0.85


def test_the_snippet_of_the_readme(monkeypatch, start, folder):
  """From labels to the report, as it stands there, with fewer epochs."""
  torch = pytest.importorskip("torch")
  section = README.read_text().split("## Audit what you already have")[1]
  draw, judge = re.search(
    r"`syndata-split\s(.*?)`.*`syndata-audit\s(--predictions.*?)`",
    section,
    re.DOTALL,
  ).groups()
  snippet = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
  assert len(snippet.splitlines()) <= 20
  digits = load_digits()
  np.save("images.npy", (digits.images[:700] / 16).astype(np.float32))
  np.save("labels.npy", digits.target[:700])
  code, _, err = _start(monkeypatch, *draw.split())
  assert code == 0, err
  assert snippet.count("range(300)") == 1
  code = compile(snippet.replace("range(300)", "range(75)"), "README", "exec")
  threads = torch.get_num_threads()
  # Its steps are small: beside other work, threads that wait for each other
  # take a hundred times as long.
  torch.set_num_threads(1)
  try:
    exec(code, {})
  finally:
    torch.set_num_threads(threads)
  ended = start(*judge.split())
  assert ended.code == 0, ended.err
  found = json.loads((folder / "runs/elsewhere/attack.json").read_text())
  assert found["canaries"]["models"] == 16
  assert found["canaries"]["attacks"][0]["auc"]["value"] > 0.7
