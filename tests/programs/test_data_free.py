"""Data-free distillation by the program, from the config to the report."""

import numpy as np
import pytest

from syndata_jax.ensemble import rehearsal

_FIELDS = {
  "model_options": {"width": 4, "depth": 1, "norm": "batch"},
  "teacher_epochs": 3,
  "num_epochs": 2,
  "synthetic_batch": 16,
  "warmup_rounds": 1,
  "code_size": 8,
  "generator_width": 2,
  "cosine_epochs": 2,
}


@pytest.mark.slow
def test_student_and_teacher_are_attacked(start, config, tmp_path):
  workdir = tmp_path / "run"
  ended = start(
    f"--config={config('data_free', **_FIELDS)}", f"--workdir={workdir}"
  )
  assert ended.code == 0, ended.err
  with np.load(workdir / "predictions.npz") as archive:
    logits, teacher = archive["logits"], archive["other_teacher_logits"]
  assert teacher.shape == logits.shape
  assert not np.array_equal(teacher, logits)
  report = (workdir / "report.txt").read_text()
  assert "teacher" in report
  images = np.load(workdir / "synthetic" / "images.npy")
  assert images.shape == (6, 48, 8, 8, 1) and images.dtype == np.uint8


@pytest.mark.slow
def test_the_growth_of_the_pool_is_predicted(
  start, config, tmp_path, monkeypatch
):
  monkeypatch.setattr(rehearsal, "_SECONDS", 0.0)
  path = config("data_free", **_FIELDS)
  workdir = tmp_path / "run"
  ended = start(f"--config={path}", f"--workdir={workdir}", "--dry_run")
  assert ended.code == 0, ended.err
  assert not workdir.exists()
  for stage in ("teacher", "inversion", "ensemble"):
    assert stage in ended.out
