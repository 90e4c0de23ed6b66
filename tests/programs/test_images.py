"""What the images of a run give away, from the command line to the report."""

import csv
import json

import numpy as np
import pytest

from syndata_jax import data

M, Q, V = 6, 12, 8

TEACHERS = """
from functools import partial
import jax
import numpy as np
from syndata_jax.data.training_set import TrainingSet, private_set
from syndata_jax.ensemble import sgd, variables
from syndata_jax.paradigms import Paradigm, Queried

def synthesize(engine, key, private, workspace):
  teachers = workspace.train(
    "teacher", engine.layout, partial(sgd, engine), key, private_set(private)
  )
  rows = private.members[:, ::2]
  return TrainingSet(
    private.images[rows],
    private.labels[rows],
    None,
    variables(teachers),
  )

def make(engine, options, private):
  return Paradigm(
    engine,
    partial(synthesize, engine),
    partial(sgd, engine),
    others=lambda training_set: {
      "teacher": Queried(engine, training_set.released)
    },
  )
"""


def _arrays(path):
  with np.load(path, allow_pickle=False) as archive:
    return dict(archive)


def _minus_distances(examples, sets):
  """f64[P, M]: all sets at once, pair by pair."""
  flat = lambda images: images.reshape(len(images), -1) / 255
  return np.stack(
    [
      -np.linalg.norm(flat(examples)[:, None] - flat(images), axis=-1).min(1)
      for images in sets
    ],
    axis=1,
  )


@pytest.fixture(scope="module")
def digits():
  return data.subset(data.load("digits"), 100, 0)


@pytest.mark.slow
def test_a_coreset_shows_what_it_kept(start, config, tmp_path, digits):
  workdir = tmp_path / "run"
  coreset = config("coreset", method="random", fraction=0.5)
  arguments = f"--config={coreset}", f"--workdir={workdir}"
  ended = start(*arguments)
  assert ended.code == 0, ended.err
  predictions = _arrays(workdir / "predictions.npz")
  split = _arrays(workdir / "split.npz")
  members = np.load(workdir / "synthetic" / "members.npy")
  sets = [digits.train_images[rows] for rows in members]
  images = {
    "": digits.train_images[split["canary_index"]],
    "average_": digits.train_images[split["average_index"]],
    "dummy_": digits.test_images[split["dummy_index"]],
  }
  for prefix, examples in images.items():
    got = predictions[f"{prefix}closeness_pixels"]
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, _minus_distances(examples, sets), atol=1e-5)
    for space in ("features", "features_of_label", "pixels_of_label"):
      values = predictions[f"{prefix}closeness_{space}"]
      assert values.shape == got.shape and (values <= 0).all()
    of_label = predictions[f"{prefix}closeness_pixels_of_label"]
    assert (of_label <= got + 1e-5).all()
  # What was kept is a copy, in every space and among those of its label.
  for space in ("pixels", "features", "pixels_of_label", "features_of_label"):
    values = predictions[f"closeness_{space}"]
    np.testing.assert_array_equal(
      np.isclose(values, 0, atol=1e-4), predictions["selected"]
    )

  record = json.loads((workdir / "near_copies.json").read_text())
  assert record["models"] == M and record["images"] == 45
  assert record["audited"] == (Q + V) // 2
  for shares in record["spaces"].values():
    assert shares["near_copies"]["value"] == 1
    assert shares["nearer_to_members"]["value"] > 0.5
    members_, others = (
      shares[f"near_copies_of_{side}"]["value"]
      for side in ("members", "nonmembers")
    )
    assert members_ > 0.05 and others < 0.01
  for name in ("near_copies.npz", "near_copies.png", "canaries.csv"):
    assert (workdir / name).stat().st_mode & 0o777 == 0o600
  pairs = _arrays(workdir / "near_copies.npz")
  np.testing.assert_array_equal(
    pairs["pixels.private"], digits.train_images[pairs["pixels.row"]]
  )
  np.testing.assert_array_equal(
    pairs["pixels.synthetic"], pairs["pixels.private"]
  )
  assert not pairs["pixels.distance"].any()

  report = (workdir / "report.txt").read_text()
  for line in (
    "images: pixels ",
    "images: features+label ",
    "pixels: near-copies of a member    100.0%",
    "are near-copies of private ones",
  ):
    assert line in report, report
  with (workdir / "canaries.csv").open() as file:
    first = next(csv.DictReader(file))
  row = split["canary_index"].tolist().index(int(first["index"]))
  inside = predictions["membership"][row]
  np.testing.assert_allclose(
    float(first["pixels_distance_in"]),
    -predictions["closeness_pixels"][row][inside].mean(),
    rtol=1e-4,
  )

  # Stopped before the predictions, the space is not trained again.
  before = (workdir / "predictions.npz").read_bytes()
  stage = workdir / "features"
  stamps = {
    path: path.stat().st_mtime_ns
    for path in stage.rglob("*")
    if path.is_file() and path.name != "identity.json"
  }
  assert stamps
  for name in ("predictions.npz", "attack.json", "near_copies.json"):
    (workdir / name).unlink()
  assert start(*arguments).code == 0
  assert (workdir / "predictions.npz").read_bytes() == before
  epochs = [
    json.loads(line)
    for line in (workdir / "metrics.jsonl").read_text().splitlines()
  ]
  assert [e["number"] for e in epochs if e["stage"] == "closeness"] == [
    *range(1, M + 1)
  ]
  for path, stamp in stamps.items():
    assert path.stat().st_mtime_ns == stamp, path

  np.savez(workdir / "near_copies.npz", nothing=np.zeros(1))
  ended = start(*arguments)
  assert ended.code == 2 and ended.err.count("\n") == 1
  assert "near_copies.npz: pixels.distance is missing" in ended.err
  (workdir / "near_copies.npz").unlink()
  assert start(*arguments).code == 0  # its owner may take it away


@pytest.mark.slow
def test_the_logits_of_a_teacher_are_a_space(start, tiny, tmp_path):
  """Teacher m on canaries beside teacher m on the images of model m."""
  (tmp_path / "teachers.py").write_text(TEACHERS)
  workdir = tmp_path / "run"
  ended = start(
    f"--config={tiny}",
    f"--config.paradigm={tmp_path / 'teachers.py'}",
    f"--workdir={workdir}",
  )
  assert ended.code == 0, ended.err
  predictions = _arrays(workdir / "predictions.npz")
  teacher = predictions["other_teacher_logits"][:, :, 0]
  closeness = predictions["closeness_teacher"]
  rows = _arrays(workdir / "split.npz")["members"][:, ::2]
  index = _arrays(workdir / "split.npz")["canary_index"]
  # Of a canary that is among the images the logits are the same.
  among = np.array([[q in own for own in rows] for q in index])
  assert among.any() and not among.all()
  np.testing.assert_allclose(closeness[among], 0, atol=1e-4)
  # Canaries are compared with all images, those among them with canaries alone.
  for m in range(M):
    known = teacher[among[:, m], m]
    distances = np.linalg.norm(teacher[:, m][:, None] - known, axis=-1)
    assert (-closeness[:, m] <= distances.min(axis=1, initial=9e9) + 1e-4).all()
  attack = json.loads((workdir / "attack.json").read_text())
  assert "teacher" in attack["images"]
  spaces = {best["space"] for best in attack["images_corrected"].values()}
  assert "teacher" not in spaces
  assert "teacher's logits on" in (workdir / "report.txt").read_text()
