"""What the report says of a run, from the files of a real one."""

import json
import shutil
import stat

import numpy as np
import pytest

from syndata_jax import data
from syndata_jax.attack import load_predictions
from syndata_jax.errors import UserError
from syndata_jax.programs import audited
from syndata_jax.programs.settings import defaults, from_config, identity
from syndata_jax.programs.summary import told_settings, training_summary


def config(paradigm="undefended", **changes):
  """`config.json` of a run with these settings."""
  fields = defaults(paradigm)
  fields.update(changes)
  return json.loads(json.dumps(identity(from_config(fields))))


def test_settings_that_differ_are_told_and_defaults_are_not():
  assert told_settings(config()) == {"seed": 0}
  told = told_settings(
    config(
      seed=7,
      dataset="npz",
      model="convnet",
      model_options={"width": 32, "depth": 2},
      num_canaries=20,
      batch_size=32,
      learning_rate=0.05,
      augment=False,
    )
  )
  assert told == {
    "seed": 7,
    "model_options.width": 32,
    "model_options.depth": 2,
    "batch_size": 32,
    "learning_rate": 0.05,
    "augment": False,
  }
  assert next(iter(told)) == "seed"


def test_method_and_fraction_are_told_at_their_defaults_too():
  own = defaults("coreset")
  told = told_settings(config("coreset", fraction=0.5))
  assert told["method"] == own.method and told["fraction"] == 0.5
  assert "images_per_class" not in told  # zero, for the fraction is set
  other = told_settings(config("coreset", fraction=0.25))
  assert {name for name in told if told[name] != other[name]} == {"fraction"}
  assert told_settings(config() | {"precision": "bfloat16"})["precision"] == (
    "bfloat16"
  )


def test_the_summary_of_a_run(finished):
  file = load_predictions(finished.workdir / "predictions.npz")
  told = training_summary(finished.workdir, file, "/somewhere/own scans/")
  assert told["data_folder"] == "own scans"
  assert told["num_images"] == 100 and told["num_own_images"] == 90
  assert told["num_canaries"] == 12
  assert told["canary_share"] == pytest.approx(6 / 90)
  assert told["accelerated"] is False
  machine = json.loads((finished.workdir / "machine.json").read_text())
  assert told["devices"] == machine["devices"]
  assert told["settings"]["num_train"] == 100
  report = (finished.workdir / "report.txt").read_text()
  words = " ".join(report.split())
  assert "canaries are 6.67% of a model's data; above 5%" in words
  assert "seed=0, num_train=100" in words
  assert "12 mislabelled images, 6.67% of a model's data" in words
  cores = f"on {machine['devices']} CPU core"
  assert cores in words and "accelerator" not in words
  assert training_summary(finished.workdir.parent, file) is None


def test_canaries_are_kept_for_their_owner(finished):
  workdir = finished.workdir
  for name in ("canaries.npz", "canaries.csv", "average.csv", "canaries.png"):
    assert stat.S_IMODE((workdir / name).stat().st_mode) == 0o600, name
  canaries, average = audited.read(workdir)
  pool = data.subset(data.load("digits"), 100, 0)
  shown = pool.train_images[canaries.rows]
  np.testing.assert_array_equal(canaries.images, shown)
  for examples in (canaries, average):
    np.testing.assert_array_equal(
      examples.label_true, pool.train_labels[examples.rows]
    )
  lines = (workdir / "canaries.csv").read_text().splitlines()[1:]
  assert len(lines) == 12
  for line in lines:
    index, kind, given, true, *_ = line.split(",")
    assert kind == "mislabelled" and given != true
    assert int(true) == pool.train_labels[int(index)]
  assert len((workdir / "average.csv").read_text().splitlines()) == 9
  # The most exposed stand on the screen, and nowhere in the report.
  private = "10 most exposed canaries"
  assert private in finished.ended.out
  assert private not in (workdir / "report.txt").read_text()


def test_a_run_without_its_canaries_is_reported_without_pictures(
  finished, tmp_path
):
  workdir = tmp_path / "run"
  shutil.copytree(finished.workdir, workdir)
  (workdir / "canaries.npz").unlink()
  canaries, average = audited.read(workdir)
  assert canaries.label_true is None and canaries.images is None
  assert len(average.rows) == 8
  np.savez(workdir / "canaries.npz", images=np.zeros((12, 8, 8, 1), np.uint8))
  with pytest.raises(UserError, match="label_true is missing"):
    audited.read(workdir)
  assert audited.read(tmp_path) == (None, None)
