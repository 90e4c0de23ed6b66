"""Quality of a run's images, from the program to the report."""

import json

import pytest


@pytest.mark.slow
def test_images_of_a_run_are_judged_once(start, config, tmp_path):
  workdir = tmp_path / "run"
  coreset = config("coreset", method="random", fraction=0.5)
  arguments = f"--config={coreset}", f"--workdir={workdir}"
  ended = start(*arguments)
  assert ended.code == 0, ended.err
  path = workdir / "quality.json"
  record = json.loads(path.read_text())
  assert record["images"] == 45  # half of the 90 examples of a model
  synthetic = record["spaces"]["features"]["synthetic"]
  assert len(synthetic["frechet_distance"]["models"]) == 6
  assert len(record["classifier"]["accuracy"]["models"]) == 6
  report = (workdir / "report.txt").read_text()
  assert "Fidelity" in report and "features: FID" in report
  assert "Classifier" in report and "45 images alone" in report

  # Started again, nothing is judged again; lost, only the judging is done.
  stamp = path.stat().st_mtime_ns
  assert start(*arguments).code == 0
  assert path.stat().st_mtime_ns == stamp
  path.unlink()
  answers = (workdir / "predictions.npz").stat().st_mtime_ns
  assert start(*arguments).code == 0
  assert json.loads(path.read_text()) == record
  assert (workdir / "predictions.npz").stat().st_mtime_ns == answers


def test_the_private_data_themselves_are_not_judged(finished):
  assert not (finished.workdir / "quality.json").exists()
  assert "Fidelity" not in finished.ended.out


def test_a_missing_file_is_said_before_training(start, config, tmp_path):
  ended = start(
    f"--config={config()}",
    f"--workdir={tmp_path / 'run'}",
    f"--inception={tmp_path / 'none.pt'}",
  )
  assert ended.code == 2 and ended.err.count("\n") == 1
  assert "inception=" in ended.err
  assert not (tmp_path / "run" / "predictions.npz").exists()
