"""A coreset from one end of the program to the other."""

import json

import numpy as np


def test_a_coreset_is_kept_and_reported(start, tiny, tmp_path):
  config = tmp_path / "coreset.py"
  config.write_text(
    tiny.read_text()
    .replace("defaults()", 'defaults("coreset")')
    .replace("  return config", "  config.fraction = 0.5\n  return config")
  )
  workdir = tmp_path / "run"
  arguments = f"--config={config}", f"--workdir={workdir}"
  ended = start(*arguments)
  assert ended.code == 0, ended.err
  with np.load(workdir / "predictions.npz") as archive:
    selected, membership = archive["selected"], archive["membership"]
  with np.load(workdir / "split.npz") as archive:
    canaries = archive["canary_index"]
  kept = workdir / "synthetic" / "training_set.npz"
  with np.load(kept) as archive:
    assert set(archive.files) == {"members", "seconds"}
    members = archive["members"]
  assert members.shape == (6, 45)  # half of the 90 examples of a model
  for q, row in enumerate(canaries):
    assert [row in own for own in members] == selected[q].tolist()
  found = json.loads((workdir / "attack.json").read_text())["selection"]
  want = selected.sum(0) / membership.sum(0)
  np.testing.assert_allclose(found["share"], want)
  report = (workdir / "report.txt").read_text()
  assert "of these, selected" in report and "Selection" in report

  # A run that was stopped after the selection does not select again.
  for name in ("predictions.npz", "attack.json"):
    (workdir / name).unlink()
  stamp = kept.stat().st_mtime_ns
  assert start(*arguments).code == 0
  assert kept.stat().st_mtime_ns == stamp
  kept.write_bytes(b"damaged")
  (workdir / "predictions.npz").unlink()
  ended = start(*arguments)
  assert ended.code == 2 and "training_set.npz: damaged" in ended.err
