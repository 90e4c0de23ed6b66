"""The audit with one model, from one end to the other."""

import json
import re
import shutil

import numpy as np
import pytest

from syndata_jax.ensemble import rehearsal

# The tiny config has twelve canaries and eight average examples; its six
# models are not used.
Q, V, A, K, N = 12, 8, 9, 10, 100


@pytest.fixture(scope="module")
def finished_one(start, tiny, tmp_path_factory):
  workdir = tmp_path_factory.mktemp("runs") / "one"
  ended = start(
    f"--config={tiny}", f"--workdir={workdir}", "--config.audit=one_run"
  )
  assert ended.code == 0, ended.err
  return workdir, ended


def _arrays(path):
  with np.load(path, allow_pickle=False) as archive:
    return dict(archive)


def test_the_files_of_a_finished_run(finished_one):
  workdir, _ = finished_one
  assert {path.name for path in workdir.iterdir()} == {
    "attack.json",
    "average.csv",
    "canaries.csv",
    "canaries.npz",
    "canaries.png",
    "config.json",
    "ensemble",
    "losses.png",
    "machine.json",
    "metrics.jsonl",
    "predictions.npz",
    "report.txt",
    "split.npz",
  }
  config = json.loads((workdir / "config.json").read_text())
  assert (config["audit"], config["num_models"]) == ("one_run", 1)
  predictions = _arrays(workdir / "predictions.npz")
  assert {name: array.shape for name, array in predictions.items()} == {
    "logits": (Q, 1, A, K),
    "labels": (Q,),
    "membership": (Q, 1),
    "average_logits": (V, 1, A, K),
    "average_labels": (V,),
    "average_membership": (V, 1),
    "dummy_logits": (Q, 1, A, K),
    "dummy_labels": (Q,),
    "dummy_membership": (Q, 1),
    "test_accuracy": (1,),
  }
  split = _arrays(workdir / "split.npz")
  np.testing.assert_array_equal(predictions["membership"], split["membership"])
  out = (~predictions["membership"]).sum() + (
    ~predictions["average_membership"]
  ).sum()
  assert split["members"].shape == (1, N - out)


def test_the_report(finished_one):
  workdir, ended = finished_one
  report = (workdir / "report.txt").read_text()
  for line in filter(None, map(str.strip, report.splitlines())):
    assert line in ended.out
  assert "12 coins decided which mislabelled images the model was" in report
  assert "threshold, hinge score, 9 views" in report
  found = json.loads((workdir / "attack.json").read_text())
  assert found["audit"] == "one_run"
  for name, key in (("canaries", "canaries"), ("average case", "average")):
    auc = found[key]["attacks"][0]["auc"]["value"]
    assert re.search(rf"{name} +{auc:.3f} ", report)
  assert "Canaries: 12 examples, 1 model" in report
  assert ended.err == ""


def test_a_resumed_run_gives_the_same(finished_one, start, tiny, tmp_path):
  workdir, _ = finished_one
  again = tmp_path / "again"
  shutil.copytree(workdir, again)
  for name in ("predictions.npz", "attack.json"):
    (again / name).unlink()
  arguments = [f"--workdir={again}", "--config.audit=one_run"]
  # The number of models is not read, so it makes no other run.
  ended = start(f"--config={tiny}", *arguments, "--config.num_models=7")
  assert ended.code == 0, ended.err
  for name in ("predictions.npz", "attack.json"):
    assert (again / name).read_bytes() == (workdir / name).read_bytes()
  refused = start(f"--config={tiny}", f"--workdir={again}")
  assert refused.code == 2
  assert "audit is 'one_run' there and 'shadow_models' here" in refused.err


def test_a_prediction_of_its_costs(start, tiny, monkeypatch):
  monkeypatch.setattr(rehearsal, "_SECONDS", 0.0)
  ended = start(f"--config={tiny}", "--dry_run", "--config.audit=one_run")
  assert ended.code == 0, ended.err
  assert re.search(r"^ *ensemble +1 ", ended.out, re.MULTILINE), ended.out


def test_one_model_from_elsewhere(finished_one, start, tmp_path):
  workdir, _ = finished_one
  ended = start(
    f"--predictions={workdir / 'predictions.npz'}",
    f"--workdir={tmp_path / 'run'}",
  )
  assert ended.code == 0, ended.err
  here = (tmp_path / "run" / "attack.json").read_bytes()
  assert here == (workdir / "attack.json").read_bytes()
  assert "12 coins decided which canaries the model" in ended.out
