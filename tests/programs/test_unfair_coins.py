"""A file of noise with any share of members shows no epsilon."""

import json

import numpy as np
import pytest


def _file(path, examples, models, share):
  """Logits that have nothing to do with who was a member."""
  generator = np.random.default_rng(0)
  membership = generator.random((examples, models)) < share
  if models > 1:
    # What an audit asks of each row at least.
    membership[:, :3], membership[:, 3:6] = True, False
  np.savez(
    path,
    logits=generator.normal(size=(examples, models, 10)).astype(np.float32),
    labels=generator.integers(0, 10, examples),
    membership=membership,
  )
  return membership.mean()


@pytest.mark.parametrize(
  ("examples", "models", "share"),
  [
    (400, 32, 0.8),
    (500, 1, 0.8),
    (400, 32, 0.2),
    (500, 1, 0.3),
    (400, 32, 0.5),
  ],
)
def test_epsilon_of_nothing(start, tmp_path, examples, models, share):
  file, workdir = tmp_path / "noise.npz", tmp_path / "run"
  share = _file(file, examples, models, share)
  ended = start(f"--predictions={file}", f"--workdir={workdir}")
  assert ended.code == 0, ended.err
  bound = json.loads((workdir / "attack.json").read_text())["epsilon_bound"]
  assert bound["epsilon"] == bound["largest"] == bound["coins"] == 0
  report = " ".join((workdir / "report.txt").read_text().split())
  assert "No bound: " in report
  if abs(share - 0.5) > 0.05:
    entries = f"entries are members ({share:.0%}), which fair coins do not give"
    assert entries in bound["premise"]
    assert entries in report
  else:
    # Three models have all examples, and three none.
    assert "members of the models differ more than fair" in report


def test_noise_of_one_model_with_fair_coins(start, tmp_path):
  file, workdir = tmp_path / "noise.npz", tmp_path / "run"
  _file(file, 500, 1, 0.5)
  ended = start(f"--predictions={file}", f"--workdir={workdir}")
  assert ended.code == 0, ended.err
  bound = json.loads((workdir / "attack.json").read_text())["epsilon_bound"]
  assert (bound["epsilon"], bound["coins"]) == (0, 500)
  assert 3.5 < bound["largest"] < 5
  report = " ".join((workdir / "report.txt").read_text().split())
  assert "assumes that each example was included by a fair coin" in report
