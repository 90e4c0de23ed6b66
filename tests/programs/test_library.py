"""The audit as a function: the program's numbers, and a notebook's mistakes."""

import ast
import dataclasses
import json
import re
import shutil
import subprocess
import sys
import tempfile

import dp_accounting
import numpy as np
import pytest

import syndata_jax
from syndata_jax import data
from syndata_jax.errors import UserError
from syndata_jax.privacy import PrivacyStatement, Release
from syndata_jax.programs import judge
from syndata_jax.programs.settings import Performance, Settings

# The tiny config of the program's tests.
TINY = dict(
  num_train=100,
  num_models=6,
  num_canaries=12,
  num_average=8,
  model="convnet",
  model_options={"width": 4, "depth": 1},
  num_epochs=3,
  batch_size=32,
  learning_rate=0.05,
  performance={"checkpoint_every": 1},
)


@pytest.fixture(scope="module")
def digits():
  """The program's data set as its arguments."""
  whole = data.load("digits")
  return dict(
    train=(whole.train_images, whole.train_labels),
    test=(whole.test_images, whole.test_labels),
    mean=whole.mean,
    std=whole.std,
    flip=whole.flip,
  )


def _arrays(path):
  with np.load(path, allow_pickle=False) as archive:
    return dict(archive)


def _contents(folder):
  return {
    path.relative_to(folder): path.read_bytes()
    for path in folder.rglob("*")
    if path.is_file()
  }


@pytest.fixture
def temporary(tmp_path, monkeypatch):
  """Where temporary folders go."""
  folder = tmp_path / "temporary"
  folder.mkdir()
  monkeypatch.setattr(tempfile, "tempdir", str(folder))
  return folder


def test_the_numbers_are_the_programs(finished, digits, temporary):
  images, labels = digits["train"]
  grey = images[..., 0], labels[:, None].astype(np.uint8)
  # As a notebook may have them: other containers, other kinds of numbers.
  report = syndata_jax.audit(
    **digits | {"train": grey, "test": list(digits["test"]), "mean": 0.3053},
    **TINY | {"num_epochs": np.int64(3)},
  )
  assert not list(temporary.iterdir())
  program = _arrays(finished.workdir / "predictions.npz")
  canaries, average, accuracy, *_ = report.predictions
  ours = canaries._asdict()
  for prefix, beside in (
    ("average", average),
    ("dummy", report.predictions.dummies),
  ):
    ours |= {
      f"{prefix}_{name}": each for name, each in beside._asdict().items()
    }
  ours["test_accuracy"] = accuracy
  assert ours.keys() == program.keys()
  for name, expected in program.items():
    assert ours[name].dtype == expected.dtype
    np.testing.assert_array_equal(ours[name], expected, err_msg=name)
  text = (finished.workdir / "attack.json").read_text()
  assert report.attack == json.loads(text)
  assert report.training["dataset"] == "npz"
  assert report.training["test_accuracy"] == accuracy.tolist()
  assert report.guarantee is None
  # The rows are of the images that were given, before `num_train` of them.
  pool = data.subset(data.load("digits"), 100, 0)
  rows = _arrays(finished.workdir / "split.npz")["canary_index"]
  np.testing.assert_array_equal(
    images[report.canary_index], pool.train_images[rows]
  )
  exposed = report.per_canary()
  assert (labels[exposed["index"]] != exposed["label"]).all()


def test_a_workdir_of_the_program_goes_on(finished, digits, tmp_path):
  workdir = tmp_path / "run"
  shutil.copytree(finished.workdir, workdir)
  before = _contents(workdir)
  for name in ("attack.json", "report.txt", "roc.png", "losses.png"):
    (workdir / name).unlink()
  # Refused, were a setting or an image another one.
  report = syndata_jax.audit(
    **digits, **TINY, dataset="digits", workdir=workdir
  )
  assert _contents(workdir) == before
  assert report.table() == (workdir / "report.txt").read_text()
  with pytest.raises(UserError, match="seed is 0 there and 1 here"):
    syndata_jax.audit(
      **digits, **TINY, dataset="digits", seed=1, workdir=workdir
    )
  for fact in (
    {"mean": 0.5},
    {"std": 0.5},
    {"flip": True},
  ):
    with pytest.raises(
      UserError, match=r"\(data is '[0-9a-f]+' there and [^;]*;"
    ):
      syndata_jax.audit(
        **digits | fact, **TINY, dataset="digits", workdir=workdir
      )
  assert _contents(workdir) == before


def test_logits_are_attacked_as_by_the_program(finished):
  arrays = _arrays(finished.workdir / "predictions.npz")
  names = ("logits", "labels", "membership")
  canaries = [arrays[name] for name in names]
  average = tuple(arrays[f"average_{name}"].tolist() for name in names)
  dummies = tuple(arrays[f"dummy_{name}"] for name in names)
  report = syndata_jax.attack_logits(
    *canaries, average=average, dummies=dummies
  )
  text = (finished.workdir / "attack.json").read_text()
  assert report.attack == json.loads(text)
  assert (report.training, report.guarantee, report.canary_index) == (None,) * 3
  one_view = syndata_jax.attack_logits(canaries[0][:, :, 0], *canaries[1:])
  assert one_view.attack["canaries"]["views"] == 1
  assert "average" not in one_view.attack
  other = syndata_jax.attack_logits(*canaries, delta=1e-3)
  assert other.attack["epsilon_bound"]["delta"] == 1e-3


def test_a_broken_guarantee_is_reported_and_not_raised(finished, tmp_path):
  workdir = tmp_path / "run"
  shutil.copytree(finished.workdir, workdir)
  record = json.loads((workdir / "attack.json").read_text())
  record["epsilon_bound"]["epsilon"] = 3.0
  (workdir / "attack.json").write_text(json.dumps(record))
  for claimed, broken in ((2.9, True), (3.1, False)):
    statement = PrivacyStatement(
      releases=(Release("m", "model", dp_accounting.NonPrivateDpEvent()),),
      epsilon=claimed,
      replace_one_epsilon=claimed,
      delta=1e-5,
      public=("a",),
    )
    (workdir / "privacy.json").write_text(json.dumps(statement.as_dict()))
    report = judge.make_report(workdir)
    assert report.guarantee.epsilon == claimed
    assert report.guarantee_is_broken == broken


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"num_modls": 8}, "config field num_modls: must be one of audit, augment"),
    ({"epsilon": 8.0}, "config field epsilon: must be one of audit"),
    ({"num_models": 7}, "num_models=7: must be even and at least 6"),
    ({"num_models": 6.0}, "num_models=6.0: must be of type int"),
    ({"performance": {"chnk": 1}}, "performance.chnk: must be one of .*chunk"),
    ({"performance": 3}, "performance=3: must be"),
    ({"paradigm": "magic"}, "paradigm='magic': must be one of .*undefended"),
    ({"paradigm": "coreset"}, "fraction=0, images_per_class=0: set one"),
    ({"model": "vgg"}, "model='vgg': must be one of convnet"),
    ({"num_classes": 5}, "train_labels spans 0..9: must lie in 0..4"),
    ({"mean": (0.1, 0.2)}, r"mean=\(0.1, 0.2\): must be 1 finite"),
    ({"mean": "grey"}, "mean='grey': must be a number, or one for each"),
    ({"std": 0}, r"std=\(0.0,\): must be in \(0, 1\]"),
    ({"mean": 125.3}, r"mean=\(125.3,\): must be in \[0, 1\].* by 255$"),
    ({"num_classes": 11}, "class 10 has no training images: each of 0..10"),
    ({"train": None}, r"train is of type NoneType: must be a tuple \(images, "),
    ({"num_canaries": 2000}, "num_canaries=2000 and num_average=8"),
  ],
)
def test_mistakes_end_in_one_line(changes, message, digits, temporary):
  with pytest.raises(UserError, match=message) as refused:
    syndata_jax.audit(**digits | TINY | changes)
  assert "\n" not in str(refused.value)
  assert not list(temporary.iterdir())


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (
      lambda i, y: (i / 255, y),
      r"train_images is float64\[1437, 8, 8, 1\]: must be uint8, such as"
      r" \(images \* 255\)\.round\(\)",
    ),
    (lambda i, y: (i, y + 1), "class 0 has no training images: train_labels b"),
    (
      lambda i, y: (i, np.eye(10)[y]),
      r"train_labels is .*such as labels\.argmax\(axis=1\)$",
    ),
    (lambda i, y: (i[..., 0, 0], y), "train_images is uint8.*must be uint8"),
    (lambda i, y: (i, y[1:]), r"train_labels is .*must be integer\[1437\]"),
    (lambda i, y: (i, y - 1), r"train_labels spans -1..8"),
    (lambda i, y: (i[:, 1:], y), r"test_images is .*as train_images"),
    (lambda i, y: (i, y, y), r"train is of type tuple: must be a tuple"),
  ],
)
def test_arrays_that_are_not_right(change, message, digits):
  with pytest.raises(UserError, match=message):
    syndata_jax.audit(**digits | {"train": change(*digits["train"])}, **TINY)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"labels": np.zeros(3, int)}, r"^labels has shape \(3,\): \(20,\) needed"),
    ({"logits": np.full((20, 8, 3), np.nan)}, "^logits holds nan"),
    ({"membership": np.ones((20, 8))}, "^membership row 0 has 8 members"),
    ({"average": 3}, r"average is of type int: must be a tuple \(logits, lab"),
    ({"delta": 1.0}, r"delta=1.0: must be in \(0, 1\)"),
  ],
)
def test_logits_that_are_not_right(changes, message):
  random = np.random.default_rng(0)
  right = dict(
    logits=random.normal(size=(20, 8, 3)),
    labels=random.integers(0, 3, 20),
    membership=random.permuted(np.tile(np.arange(8) < 4, (20, 1)), axis=1),
  )
  with pytest.raises(UserError, match=message) as refused:
    syndata_jax.attack_logits(**right | changes)
  assert "\n" not in str(refused.value)


def test_importing_is_light_and_in_any_order():
  code = """
import sys
import syndata_jax
assert {"Report", "attack_logits", "audit"} <= set(dir(syndata_jax))
assert not {"jax", "numpy"} & set(sys.modules)
assert not hasattr(syndata_jax, "audits")
from syndata_jax import *
assert syndata_jax.audit is audit and callable(attack_logits)
assert Report.__name__ == "Report"
"""
  subprocess.run([sys.executable, "-c", code], check=True)


def test_help_says_the_defaults():
  text = syndata_jax.audit.__doc__
  stated = dict(re.findall(r"- `(\w+)` \((.+?)\):", text))
  assert len(stated) >= 10
  fields = {field.name: field for field in dataclasses.fields(Settings)}
  for name, value in stated.items():
    assert ast.literal_eval(value) == fields[name].default, name
  assert fields["performance"].default == Performance()
