"""Paradigms in files of their own, from the command line to the report."""

import json
import pathlib
import re

import numpy as np
import pytest

README = pathlib.Path(__file__).parents[2] / "README.md"

HEAD = """
from functools import partial
import numpy as np
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import sgd
from syndata_jax.paradigms import Paradigm

def copies(private):
  rows = private.members
  return private.images[rows], private.labels[rows]

def synthesize(key, private, workspace):
  images, labels = copies(private)
  {body}

def make(engine, options, private):
  return Paradigm(engine, synthesize, partial(sgd, engine))
"""


@pytest.fixture
def paradigm(tmp_path):
  """`paradigm(body)`: a file whose `synthesize` ends with it."""

  def write(body):
    path = tmp_path / "own_paradigm.py"
    path.write_text(HEAD.replace("{body}", body))
    return path

  return write


def test_the_paradigm_of_the_readme_runs(start, tiny, tmp_path, monkeypatch):
  """The block as it stands there, found from where the command is given."""
  (block,) = re.findall(
    r"```python\n(# prototypes\.py\n.*?)```", README.read_text(), re.DOTALL
  )
  assert len([line for line in block.splitlines()[1:] if line.strip()]) < 30
  (tmp_path / "prototypes.py").write_text(block)
  monkeypatch.chdir(tmp_path)
  workdir = tmp_path / "run"
  arguments = (
    f"--config={tiny}",
    "--config.paradigm=prototypes.py",
    "--config.per_class=4",
    f"--workdir={workdir}",
  )
  ended = start(*arguments)
  assert ended.code == 0, ended.err
  images = np.load(workdir / "synthetic" / "images.npy")
  labels = np.load(workdir / "synthetic" / "labels.npy")
  assert images.shape == (6, 40, 8, 8, 1) and images.dtype == np.uint8
  np.testing.assert_array_equal(labels, [np.repeat(np.arange(10), 4)] * 6)
  # Every prototype is nearer to some image of its class than its pool is wide.
  assert (images[0] != images[1]).any()
  assert (workdir / "synthetic" / "first_model.png").exists()
  assert "prototypes.py" in (workdir / "report.txt").read_text()
  config = json.loads((workdir / "config.json").read_text())
  assert config["per_class"] == 4 and len(config["source of paradigm"]) == 64

  # The file is part of the run's identity.
  with (tmp_path / "prototypes.py").open("a") as file:
    file.write("# another line\n")
  ended = start(*arguments)
  assert ended.code == 2 and "source of paradigm is" in ended.err


@pytest.mark.parametrize(
  ("body", "message"),
  [
    (
      "return TrainingSet(None, None, private.members[::-1].copy())",
      r"members of model 0 hold row \d+: rows of its own members allowed",
    ),
    (
      "return TrainingSet(images[:, :5], labels, None)",
      r"labels have the shape \[6, \d+\]: \[6, 5\] needed",
    ),
    (
      "return TrainingSet(images[1:], labels[1:], None)",
      r"images have the shape .*\[M,S,H,W,C\] with 6 models",
    ),
    (
      "return TrainingSet(images / np.float32(0), labels, None)",
      "images hold a value that is not finite",
    ),
    (
      "return TrainingSet(images, labels.astype(float), None)",
      "labels of type float64: int32 or float32 needed",
    ),
    ("return images", "must return a TrainingSet"),
    (
      "return TrainingSet(images, labels, None, {'rate': np.zeros(3)})",
      "released rate of type float64",
    ),
  ],
)
def test_a_set_that_does_not_fit_is_one_line(
  start, tiny, paradigm, tmp_path, body, message
):
  workdir = tmp_path / "run"
  ended = start(
    f"--config={tiny}",
    f"--config.paradigm={paradigm(body)}",
    f"--workdir={workdir}",
  )
  assert ended.code == 2, ended.err
  assert ended.err.count("\n") == 1
  assert re.search(message, ended.err), ended.err
  assert not (workdir / "synthetic").exists()
  assert not (workdir / "ensemble").exists()


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ("def make(:", "does not import: line 1: SyntaxError"),
    ("import no_such_package", "does not import: line 1: ModuleNotFound"),
    ("x = 1", r"has no make\(engine, options, private\)"),
    (
      "def make(engine, options, private): return 3",
      "make returned int: must be a",
    ),
  ],
)
def test_a_file_that_is_no_paradigm_is_one_line(
  start, tiny, tmp_path, content, message
):
  path, workdir = tmp_path / "own.py", tmp_path / "run"
  path.write_text(content + "\n")
  ended = start(
    f"--config={tiny}", f"--config.paradigm={path}", f"--workdir={workdir}"
  )
  assert ended.code == 2 and ended.err.count("\n") == 1
  assert f"paradigm='{path}'" in ended.err
  assert re.search(message, ended.err), ended.err
  assert not workdir.exists()


TEACHER = """
from functools import partial
import jax
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import sgd, variables
from syndata_jax.paradigms import Paradigm, Queried

def synthesize(engine, key, private, workspace):
  # Each student is given the last weights of its teacher, and noise to see.
  data = TrainingSet(private.images, private.labels, private.members)
  teacher = workspace.train(
    "teacher", engine.layout, partial(sgd, engine), key, data
  )
  images = private.images[private.members]
  return TrainingSet(
    255 - images,
    private.labels[private.members],
    None,
    released={"teacher": variables(teacher)},
  )

def make(engine, options, private):
  def others(training_set):
    return {"teacher": Queried(engine, training_set.released["teacher"])}

  return Paradigm(
    engine, partial(synthesize, engine), partial(sgd, engine), others=others
  )
"""


@pytest.mark.slow
def test_another_network_stands_beside_the_released_one(
  start, tiny, tmp_path, monkeypatch
):
  """A teacher of the private images; the students see negatives of them."""
  path, workdir = tmp_path / "teaching.py", tmp_path / "run"
  path.write_text(TEACHER)
  arguments = (
    f"--config={tiny}",
    f"--config.paradigm={path}",
    "--config.num_epochs=12",
    f"--workdir={workdir}",
  )
  ended = start(*arguments)
  assert ended.code == 0, ended.err
  with np.load(workdir / "predictions.npz") as archive:
    teacher, student = archive["other_teacher_logits"], archive["logits"]
    accuracy = archive["other_teacher_test_accuracy"]
  assert teacher.shape == student.shape
  # On the test images, which are no negatives, the teacher is the better one.
  with np.load(workdir / "predictions.npz") as archive:
    assert (accuracy > archive["test_accuracy"]).all()
  found = json.loads((workdir / "attack.json").read_text())
  assert set(found["others"]) == {"teacher"}
  report = (workdir / "report.txt").read_text()
  assert "teacher: canaries" in report and "teacher: test accuracy" in report
  # Its rounds are in the metrics beside those of the students; what follows
  # is said of the images.
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  stages = [json.loads(line)["stage"] for line in lines]
  assert stages[:24] == ["teacher"] * 12 + ["ensemble"] * 12
  assert set(stages[24:]) == {"features", "closeness"}
