"""The program itself: files, flags, mistakes."""

import json
import os
import subprocess
import sys

import pytest


def _run(*arguments):
  # Without the tests' fake devices and hurried compiler.
  environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
  return subprocess.run(
    [sys.executable, "-m", "syndata_jax.programs.benchmark", *arguments],
    capture_output=True,
    text=True,
    env=environment,
  )


def test_a_quick_run_writes_three_files(tmp_path):
  out = tmp_path / "deep" / "out"
  done = _run("--suite=attack", "--quick", "--rounds=1", f"--out={out}")
  assert done.returncode == 0, done.stderr
  assert {path.name for path in out.iterdir()} == {
    "benchmark.json",
    "benchmark.md",
    "benchmark.png",
  }
  record = json.loads((out / "benchmark.json").read_text())
  assert record["quick"] is True
  assert record["suites"].keys() == {"attack"}
  assert record["machine"]["versions"]["jax"]
  assert "--suite=attack" in record["machine"]["command"]
  ours, loop = record["suites"]["attack"]["cases"][0]["rows"]
  assert ours["ratio_to_best_peer"] > 1
  assert loop["ratio_to_best_peer"] == 1
  assert (out / "benchmark.md").read_text() in done.stdout


@pytest.mark.parametrize(
  "arguments, named",
  [
    (["--suite=speed", "--out={out}"], "suite"),
    pytest.param(["--suite=attack"], "--out", marks=pytest.mark.slow),
    pytest.param(
      ["--rounds=0", "--out={out}"], "--rounds=0", marks=pytest.mark.slow
    ),
    (["--out={file}/below"], "--out="),
  ],
)
def test_a_mistake_is_one_line(tmp_path, arguments, named):
  file = tmp_path / "file"
  file.touch()
  out = tmp_path / "out"
  done = _run(*(a.format(out=out, file=file) for a in arguments))
  assert done.returncode == 2
  assert len(done.stderr.splitlines()) == 1
  assert named in done.stderr
  assert not out.exists()
