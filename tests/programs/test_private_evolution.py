"""An audit of Private Evolution, from the command line."""

import json

import evolving
import numpy as np
import pytest

from syndata_jax.privacy import PrivacyStatement

_FIELDS = {
  "api": evolving.FILE,
  "embedding": "pixels",
  "num_samples": 40,
  "num_iterations": 2,
  "epsilon": 8.0,
}


@pytest.fixture
def arguments(config, tmp_path):
  path = config("private_evolution", **_FIELDS)
  return f"--config={path}", f"--workdir={tmp_path / 'run'}"


@pytest.mark.slow
def test_it_stands_in_the_table_with_its_guarantee(start, arguments, tmp_path):
  ended = start(*arguments)
  assert ended.code == 0, ended.err
  workdir = tmp_path / "run"
  images = np.load(workdir / "synthetic" / "images.npy")
  assert images.shape == (6, 40, 8, 8, 1)
  statement = PrivacyStatement.from_dict(
    json.loads((workdir / "privacy.json").read_text())
  )
  assert statement.epsilon == pytest.approx(8, rel=1e-6)
  assert statement.num_releases == 2
  assert "private_evolution" in ended.out
  assert (workdir / "near_copies.json").exists()
  with np.load(workdir / "predictions.npz") as archive:
    assert "closeness_pixels" in archive
  # Another guarantee is another run.
  other = start(*arguments, "--config.epsilon=9")
  assert other.code == 2 and "epsilon is 8.0 there and 9.0 here" in other.err


@pytest.mark.slow
def test_its_cost_is_predicted(start, arguments, tmp_path):
  ended = start(*arguments, "--dry_run")
  assert ended.code == 0, ended.err
  assert "evolution" in ended.out and "2 rounds of" in ended.out
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
  ("argument", "expected"),
  [
    ("--config.epsilon=0", "exactly one must be above 0"),
    ("--config.api=brush", "api='brush': must be one of"),
    ("--config.class_shares=private", "class_shares='private': must be"),
    ("--config.num_samples=20", "batch_size=32: must not exceed the 20"),
  ],
)
def test_bad_input(start, arguments, tmp_path, argument, expected):
  ended = start(*arguments, argument)
  assert ended.code == 2 and ended.err.count("\n") == 1
  assert expected in ended.err
  assert not (tmp_path / "run").exists()
