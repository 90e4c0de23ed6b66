"""Runs that were killed, damaged or mixed up end as if nothing had happened."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from syndata_jax.ensemble import Checkpoints
from syndata_jax.programs.workdir import open_workdir

_RESULTS = ("attack.json", "predictions.npz")


def _assert_same_results(workdir, finished):
  for name in _RESULTS:
    expected = (finished.workdir / name).read_bytes()
    assert (workdir / name).read_bytes() == expected, name


@pytest.fixture
def halted(finished, tmp_path):
  """A run that has its checkpoints but was not queried and attacked yet."""
  workdir = tmp_path / "halted"
  shutil.copytree(finished.workdir, workdir)
  for name in (*_RESULTS, "report.txt", "roc.png", "losses.png"):
    (workdir / name).unlink()
  return workdir


def _checkpoints(workdir):
  return sorted(
    path.with_suffix("") for path in workdir.glob("ensemble/*.sha256")
  )


def _damage(checkpoint):
  """Flips one bit in the middle of a checkpoint's largest file."""
  files = [path for path in checkpoint.rglob("*") if path.is_file()]
  path = max(files, key=lambda path: path.stat().st_size)
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


def _cut_short(checkpoint):
  """Leaves what a kill in the middle of a save leaves: half a folder."""
  checkpoint.with_suffix(".sha256").unlink()
  files = sorted(path for path in checkpoint.rglob("*") if path.is_file())
  for path in files[::2]:
    path.unlink()


def _kill(cache, arguments, when):
  """Starts an audit as a process of its own, and kills it at a moment."""
  environment = os.environ | {
    "XDG_CACHE_HOME": str(cache),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
  }
  environment.pop("JAX_COMPILATION_CACHE_DIR", None)
  process = subprocess.Popen(
    [sys.executable, "-m", "syndata_jax.programs.audit", *arguments],
    env=environment,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  try:
    while not when() and process.poll() is None:
      time.sleep(0.005)
  finally:
    process.kill()
  assert process.wait() == -signal.SIGKILL


def test_killed_in_the_middle(start, tiny, finished, cache, tmp_path):
  workdir = tmp_path / "run"
  arguments = [f"--config={tiny}", f"--workdir={workdir}"]
  _kill(cache, arguments, lambda: _checkpoints(workdir))
  assert not (workdir / "predictions.npz").exists()
  assert start(*arguments).code == 0
  _assert_same_results(workdir, finished)
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  assert [json.loads(line)["number"] for line in lines] == [1, 2, 3]


@pytest.mark.slow
def test_killed_in_its_selection(start, config, cache, tmp_path):
  """A coreset continues, and chooses as one that was not killed."""
  coreset = config(
    "coreset", method="forgetting", fraction=0.5, selection_epochs=20
  )
  runs = [tmp_path / name for name in ("killed", "whole")]
  stage = runs[0] / "synthetic"
  _kill(
    cache,
    [f"--config={coreset}", f"--workdir={runs[0]}"],
    (stage / "selection_0" / "00002.sha256").exists,
  )
  assert not (stage / "training_set.json").exists()
  spent = json.loads((stage / "spent.json").read_text())["seconds"]
  chosen = []
  for workdir in runs:
    ended = start(f"--config={coreset}", f"--workdir={workdir}")
    assert ended.code == 0, ended.err
    folder = workdir / "synthetic"
    chosen.append(np.load(folder / "chosen.npy"))
    listed = json.loads((folder / "training_set.json").read_text())
    assert listed["seconds"] > spent or workdir != runs[0]
  np.testing.assert_array_equal(*chosen)
  for name in _RESULTS:
    assert len({(run / name).read_bytes() for run in runs}) == 1


def test_killed_in_the_middle_of_a_save(start, tiny, finished, halted):
  newest = _checkpoints(halted)[-1]
  _cut_short(newest)
  leftovers = [
    halted / "ensemble" / f"{name}.orbax-checkpoint-tmp"
    for name in ("00000", newest.name)
  ]
  for leftover in leftovers:
    leftover.mkdir()
  ended = start(f"--config={tiny}", f"--workdir={halted}")
  assert ended.code == 0, ended.err
  assert ended.err == ""  # expected after a kill, so no warning
  _assert_same_results(halted, finished)
  assert newest in _checkpoints(halted)
  assert not any(leftover.exists() for leftover in leftovers)


def test_killed_before_the_first_file_was_whole(tmp_path):
  unfinished = tmp_path / ".config.json.12-ab.unfinished"
  unfinished.write_text('{"dataset": "dig')
  open_workdir(str(tmp_path), {"dataset": "digits"})
  config = json.loads((tmp_path / "config.json").read_text())
  assert config == {"dataset": "digits"}


def test_a_damaged_checkpoint_is_named_and_passed_over(
  start, tiny, finished, halted
):
  before, newest = _checkpoints(halted)
  _damage(newest)
  ended = start(f"--config={tiny}", f"--workdir={halted}")
  assert ended.code == 0, ended.err
  assert str(newest) in ended.err
  assert str(before) not in ended.err
  _assert_same_results(halted, finished)


@pytest.mark.slow
def test_all_checkpoints_damaged(start, tiny, finished, halted):
  checkpoints = _checkpoints(halted)
  for checkpoint in checkpoints:
    _damage(checkpoint)
  # The last line may have been cut short as well.
  metrics = halted / "metrics.jsonl"
  metrics.write_text(metrics.read_text()[:-20])
  ended = start(f"--config={tiny}", f"--workdir={halted}")
  assert ended.code == 0, ended.err
  for checkpoint in checkpoints:
    assert str(checkpoint) in ended.err
  _assert_same_results(halted, finished)
  lines = metrics.read_text().splitlines()
  assert [json.loads(line)["number"] for line in lines] == [1, 2, 3]


def test_damaged_checkpoints_do_not_push_out_sound_ones(tmp_path):
  checkpoints = Checkpoints(tmp_path / "ensemble")
  state = {"weights": np.arange(1000.0, dtype=np.float32)}
  shapes = jax.eval_shape(lambda: state)
  for epoch in (20, 30):
    checkpoints.save(epoch, state)
  for checkpoint in _checkpoints(tmp_path):
    _damage(checkpoint)
  assert checkpoints.latest(shapes) is None
  checkpoints.save(10, state)
  epoch, found = checkpoints.latest(shapes)
  assert epoch == 10
  np.testing.assert_array_equal(found["weights"], state["weights"])


def test_metrics_cut_short_break_no_report(start, tiny, finished, halted):
  metrics = halted / "metrics.jsonl"
  metrics.write_text(metrics.read_text()[:-20])
  ended = start(f"--config={tiny}", f"--workdir={halted}")
  assert ended.code == 0, ended.err
  _assert_same_results(halted, finished)


def test_another_config_is_refused(start, tiny, finished):
  before = {
    path: path.stat().st_mtime_ns for path in finished.workdir.iterdir()
  }
  ended = start(
    f"--config={tiny}",
    f"--workdir={finished.workdir}",
    "--config.num_epochs=7",
    "--config.seed=5",
  )
  assert ended.code == 2
  assert ended.err.count("\n") == 1
  assert f"--workdir={finished.workdir}" in ended.err
  assert "num_epochs is 3 there and 7 here" in ended.err
  assert "seed is 0 there and 5 here" in ended.err
  assert "momentum" not in ended.err
  for path, modified in before.items():
    assert path.stat().st_mtime_ns == modified


@pytest.mark.parametrize(
  ("field", "there"), [("version", "0.1.0"), ("prng", "rbg")]
)
def test_a_run_under_other_circumstances_is_refused(
  start, tiny, finished, tmp_path, field, there
):
  """One of an earlier version, or of another kind of random numbers."""
  workdir = tmp_path / "run"
  shutil.copytree(finished.workdir, workdir)
  config = workdir / "config.json"
  config.write_text(json.dumps(json.loads(config.read_text()) | {field: there}))
  ended = start(f"--config={tiny}", f"--workdir={workdir}")
  assert ended.code == 2 and ended.err.count("\n") == 1
  assert f"{field} is {there!r} there and" in ended.err


def test_another_precision_is_another_run(start, tiny, finished):
  ended = start(
    f"--config={tiny}",
    f"--workdir={finished.workdir}",
    "--config.performance.precision=bfloat16",
  )
  assert ended.code == 2
  assert "precision is 'float32' there and 'bfloat16' here" in ended.err


def test_another_split_is_refused(start, tiny, finished, tmp_path):
  workdir = tmp_path / "run"
  shutil.copytree(finished.workdir, workdir)
  with np.load(workdir / "split.npz") as archive:
    split = dict(archive)
  split["labels"] = (split["labels"] + 1) % 10
  np.savez(workdir / "split.npz", **split)
  ended = start(f"--config={tiny}", f"--workdir={workdir}")
  assert ended.code == 2 and ended.err.count("\n") == 1
  assert "split.npz: its labels is not what the seed" in ended.err


def test_another_speed_is_the_same_run(start, tiny, finished):
  ended = start(
    f"--config={tiny}",
    f"--workdir={finished.workdir}",
    "--config.performance.chunk=1",
    "--config.performance.checkpoint_every=2",
    "--config.performance.lowering=grouped",
  )
  assert ended.code == 0, ended.err
