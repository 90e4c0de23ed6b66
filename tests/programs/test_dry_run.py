"""A prediction leaves nothing behind and states what the run then is."""

import importlib
import re

import numpy as np
from absl import flags

from syndata_jax.programs import dry_run
from syndata_jax.reporting.formats import duration


def test_every_stage_is_predicted(start, tiny, tmp_path, monkeypatch):
  monkeypatch.setattr(dry_run, "_SECONDS", 0.0)
  workdir = tmp_path / "run"
  ended = start(f"--config={tiny}", f"--workdir={workdir}", "--dry_run")
  assert ended.code == 0, ended.err
  assert not workdir.exists()
  rows = {
    line.split()[0]: line.split()[1:]
    for line in ended.out.splitlines()
    if line.strip()
  }
  for stage in ("data", "synthesize", "train", "query", "attack", "all"):
    assert re.search(r"\d (s|min|h)", " ".join(rows[stage])), ended.out
  assert rows["train"][0] == rows["query"][0] == "6"
  # 6 models, 3 epochs of 3 batches of 32; 3 x (2 x 9 taps x 4 filters x 64
  # pixels + 2 x 64 features x 10 classes), and norm and pooling on top.
  images = 6 * 3 * 96
  least = images * 3 * (2 * 9 * 4 * 64 + 2 * 64 * 10)
  assert least < float(rows["train"][1]) < 3 * least
  assert "3 epochs" in ended.out and "9 views" in ended.out


def test_a_prediction_needs_a_config(start):
  assert not flags.FLAGS.dry_run
  ended = start("--dry_run", "--predictions=logits.npz")
  assert ended.code == 2
  assert "--dry_run: needs --config" in ended.err


def test_private_training_is_predicted(start, tiny, tmp_path, monkeypatch):
  monkeypatch.setattr(dry_run, "_SECONDS", 0.0)
  monkeypatch.setattr(dry_run, "_STEPS", 1)
  config = tmp_path / "private.py"
  config.write_text(
    tiny.read_text()
    .replace("defaults()", 'defaults("dpsgd")')
    .replace(
      "  return config",
      "  config.epsilon, config.delta = 8.0, 1e-3\n"
      "  config.augmentation_multiplicity = 1\n"
      "  return config",
    )
  )
  ended = start(f"--config={config}", "--dry_run")
  assert ended.code == 0, ended.err
  assert "3 epochs" in ended.out


def test_a_selection_is_tried_and_not_run(start, tiny, tmp_path, monkeypatch):
  """Three rounds of the 200 stand for all of them."""
  monkeypatch.setattr(dry_run, "_SECONDS", 0.0)
  module = importlib.import_module("syndata_jax.ensemble.train")
  repeat, seconds = module.repeat, []

  def watched(layout, rounds, shared, checkpoints, on_round):
    assert checkpoints is None

    def on_each(number, taken, metrics):
      seconds.append(taken)
      on_round(number, taken, metrics)

    return repeat(layout, rounds, shared, checkpoints, on_each)

  monkeypatch.setattr(module, "repeat", watched)
  config, workdir = tmp_path / "coreset.py", tmp_path / "run"
  config.write_text(
    tiny.read_text()
    .replace("defaults()", 'defaults("coreset")')
    .replace(
      "  return config",
      '  config.method, config.fraction = "forgetting", 0.5\n'
      "  config.selection_epochs = 200\n"
      "  return config",
    )
  )
  ended = start(f"--config={config}", f"--workdir={workdir}", "--dry_run")
  assert ended.code == 0, ended.err
  assert not workdir.exists()
  assert len(seconds) == 3
  steady = np.mean(seconds[1:])
  whole = seconds[0] + 199 * steady
  (row,) = re.findall(r"selection_0 .*", ended.out)
  assert row.split()[1] == "6" and duration(whole) in row
  assert f"selection_0: 200 rounds of {duration(steady)} after" in ended.out
  # The other rows come after it, and the sum holds it.
  stages = re.findall(r"^ ?(\w+) ", ended.out, re.MULTILINE)
  assert stages.index("selection_0") == stages.index("synthesize") - 1
