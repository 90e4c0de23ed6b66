"""A prediction leaves nothing behind and states what the run then is."""

import re

import pytest
from absl import flags

from syndata_jax.ensemble import rehearsal


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
  """Three rounds of each stage suffice."""
  monkeypatch.setattr(rehearsal, "_SECONDS", 0.0)


def test_every_stage_is_predicted(start, tiny, tmp_path):
  workdir = tmp_path / "run"
  ended = start(f"--config={tiny}", f"--workdir={workdir}", "--dry_run")
  assert ended.code == 0, ended.err
  assert not workdir.exists()
  rows = {
    line.split()[0]: line.split()[1:]
    for line in ended.out.splitlines()
    if line.strip()
  }
  for stage in ("data", "synthesize", "ensemble", "query", "attack", "all"):
    assert re.search(r"\d (s|min|h)", " ".join(rows[stage])), ended.out
  assert rows["ensemble"][0] == rows["query"][0] == "6"
  # 6 models, 3 epochs of 3 batches of 32; 3 x (2 x 9 taps x 4 filters x 64
  # pixels + 2 x 64 features x 10 classes), and norm and pooling on top.
  images = 6 * 3 * 96
  least = images * 3 * (2 * 9 * 4 * 64 + 2 * 64 * 10)
  assert least < float(rows["ensemble"][1]) < 3 * least
  assert "3 rounds" in ended.out and "9 views" in ended.out


def test_a_prediction_needs_a_config(start):
  assert not flags.FLAGS.dry_run
  ended = start("--dry_run", "--predictions=logits.npz")
  assert ended.code == 2
  assert "--dry_run: needs --config" in ended.err


@pytest.mark.slow
def test_private_training_is_predicted(start, config, monkeypatch):
  monkeypatch.setattr(rehearsal, "_STEPS", 1)
  private = config(
    "dpsgd", epsilon=8.0, delta=1e-3, augmentation_multiplicity=1
  )
  ended = start(f"--config={private}", "--dry_run")
  assert ended.code == 0, ended.err
  assert "3 rounds" in ended.out


@pytest.mark.slow
def test_a_selection_is_tried_and_not_run(start, config, tmp_path):
  """A few steps stand for 200 epochs, and nothing is left behind."""
  coreset, workdir = (
    config("coreset", method="forgetting", fraction=0.5, selection_epochs=200),
    tmp_path / "run",
  )
  ended = start(f"--config={coreset}", f"--workdir={workdir}", "--dry_run")
  assert ended.code == 0, ended.err
  assert not workdir.exists()
  (row,) = re.findall(r"selection_0 .*\d.*", ended.out.split("selection_0:")[0])
  assert row.split()[1] == "6"
  assert "selection_0: compiled in" in ended.out and "200 rounds" in ended.out
  # The other rows come after it, and the sum holds it.
  stages = re.findall(r"^ ?(\w+) ", ended.out, re.MULTILINE)
  assert stages.index("selection_0") == stages.index("synthesize") - 1
  # What the images give away comes after the networks that learn from them.
  place = stages.index("ensemble")
  assert stages[place : place + 3] == ["ensemble", "features", "closeness"]
  (row,) = re.findall(r"closeness .*\d.*", ended.out.split("closeness:")[0])
  assert row.split()[1] == "6"
  assert stages.index("classifier") == stages.index("attack") - 1
