"""The main job from one end to the other, on an audit of seconds."""

import datetime
import importlib.metadata
import json
import sys

import numpy as np
import pytest
from variants import others_slow

import syndata_jax
from syndata_jax import paradigms
from syndata_jax.errors import UserError

# Shifts of up to one pixel at 8x8: nine views, and digits are never flipped.
Q, V, M, A, K, N = 12, 8, 6, 9, 10, 100


def _contents(folder):
  return {
    path.relative_to(folder): path.read_bytes()
    for path in folder.rglob("*")
    if path.is_file()
  }


def _arrays(path):
  with np.load(path, allow_pickle=False) as archive:
    return dict(archive)


def test_the_files_of_a_finished_run(finished):
  assert {path.name for path in finished.workdir.iterdir()} == {
    "attack.json",
    "average.csv",
    "canaries.csv",
    "canaries.npz",
    "canaries.png",
    "config.json",
    "ensemble",
    "losses.png",
    "machine.json",
    "metrics.jsonl",
    "predictions.npz",
    "report.txt",
    "roc.png",
    "split.npz",
  }
  for name in ("roc.png", "losses.png"):
    start = (finished.workdir / name).read_bytes()[:8]
    assert start == b"\x89PNG\r\n\x1a\n"


def test_predictions_have_the_documented_arrays(finished):
  arrays = _arrays(finished.workdir / "predictions.npz")
  assert {k: (v.dtype.name, v.shape) for k, v in arrays.items()} == {
    "logits": ("float32", (Q, M, A, K)),
    "labels": ("int32", (Q,)),
    "membership": ("bool", (Q, M)),
    "average_logits": ("float32", (V, M, A, K)),
    "average_labels": ("int32", (V,)),
    "average_membership": ("bool", (V, M)),
    "dummy_logits": ("float32", (Q, M, A, K)),
    "dummy_labels": ("int32", (Q,)),
    "dummy_membership": ("bool", (Q, M)),
    "test_accuracy": ("float32", (M,)),
  }


def test_predictions_agree_with_the_split(finished):
  predictions = _arrays(finished.workdir / "predictions.npz")
  split = _arrays(finished.workdir / "split.npz")
  for prefix, index in (("", "canary_index"), ("average_", "average_index")):
    own = "membership" if not prefix else "average_membership"
    np.testing.assert_array_equal(
      predictions[f"{prefix}membership"], split[own]
    )
    np.testing.assert_array_equal(
      predictions[f"{prefix}labels"], split["labels"][split[index]]
    )
  assert split["members"].shape == (M, N - (Q + V) // 2)
  for name in ("labels", "membership"):
    np.testing.assert_array_equal(
      predictions[f"dummy_{name}"], split[f"dummy_{name}"]
    )


def test_the_machine_and_the_run_are_described(finished):
  machine = json.loads((finished.workdir / "machine.json").read_text())
  assert machine["num_members"] == N - (Q + V) // 2
  lines = (finished.workdir / "metrics.jsonl").read_text().splitlines()
  rounds = sum(json.loads(line)["seconds"] for line in lines)
  assert rounds < machine["wall_seconds"] < rounds + 600
  date = datetime.datetime.fromisoformat(machine["date"])
  assert date.utcoffset() == datetime.timedelta(0)
  age = datetime.datetime.now(datetime.UTC) - date
  assert datetime.timedelta(0) <= age < datetime.timedelta(hours=2)
  versions = machine["versions"]
  for name in ("jax", "jaxlib", "flax", "numpy"):
    assert versions.pop(name) == importlib.metadata.version(name)
  assert versions == {
    "syndata_jax": syndata_jax.__version__,
    "python": sys.version.split()[0],
  }


def test_config_json_says_what_was_run(finished):
  config = json.loads((finished.workdir / "config.json").read_text())
  assert config["num_models"] == M
  assert config["model_options"] == {"width": 4, "depth": 1}
  assert "performance" not in config  # changes no result


def test_metrics_have_one_record_an_epoch(finished):
  lines = (finished.workdir / "metrics.jsonl").read_text().splitlines()
  records = [json.loads(line) for line in lines]
  assert [record["number"] for record in records] == [1, 2, 3]
  for record in records:
    assert record["seconds"] > 0
    assert record["images"] == M * 96  # 90 examples in three batches of 32
    assert record["loss"] > 0
    assert 0 <= record["accuracy"] <= 1


def test_the_attack_is_written_and_reported(finished):
  found = json.loads((finished.workdir / "attack.json").read_text())
  assert found
  report = (finished.workdir / "report.txt").read_text()
  for line in filter(None, map(str.strip, report.splitlines())):
    assert line in finished.ended.out
  assert str(finished.workdir) in finished.ended.out.replace("\n", "")
  assert finished.ended.err == ""


def test_a_second_start_changes_nothing_and_reports_again(
  finished, start, tiny
):
  before = _contents(finished.workdir)
  stages = [
    path
    for path in finished.workdir.rglob("*")
    if path.suffix in (".json", ".jsonl", ".npz") or path.parent.name.isdigit()
  ]
  times = [path.stat().st_mtime_ns for path in stages]
  ended = start(f"--config={tiny}", f"--workdir={finished.workdir}")
  assert ended.code == 0
  assert _contents(finished.workdir) == before
  assert [path.stat().st_mtime_ns for path in stages] == times
  assert ended.out
  assert finished.ended.out.endswith(ended.out)  # the report, no progress


def test_logits_from_elsewhere(start, tmp_path):
  random = np.random.default_rng(0)
  membership = np.tile(np.arange(8) < 4, (20, 1))
  membership = random.permuted(membership, axis=1)
  labels = random.integers(0, 3, 20)
  # Every model is surer of what it has seen; one view, as [Q, M, K].
  logits = random.normal(size=(20, 8, 3))
  logits[np.arange(20), :, labels] += 9 * membership
  file, workdir = tmp_path / "logits.npz", tmp_path / "run"
  np.savez(file, logits=logits, labels=labels, membership=membership)
  ended = start(f"--predictions={file}", f"--workdir={workdir}")
  assert ended.code == 0, ended.err
  assert {path.name for path in workdir.iterdir()} == {
    "attack.json",
    "canaries.csv",
    "config.json",
    "losses.png",
    "predictions.npz",
    "report.txt",
    "roc.png",
  }
  before = _contents(workdir)
  assert start(f"--predictions={file}", f"--workdir={workdir}").code == 0
  assert _contents(workdir) == before
  # Other logits are another run.
  np.savez(file, logits=-logits, labels=labels, membership=membership)
  refused = start(f"--predictions={file}", f"--workdir={workdir}")
  assert refused.code == 2
  assert "predictions is" in refused.err
  assert _contents(workdir) == before


@pytest.mark.parametrize(
  "kind", others_slow(["out_of_distribution", "clean", "blank"])
)
def test_other_canaries(kind, start, tiny, tmp_path, finished):
  ended = start(
    f"--config={tiny}",
    f"--workdir={tmp_path / kind}",
    f"--config.canary_kind={kind}",
  )
  assert ended.code == 0, ended.err
  here = _arrays(tmp_path / kind / "predictions.npz")
  there = _arrays(finished.workdir / "predictions.npz")
  # The kind changes what a canary is, never which example or which models.
  np.testing.assert_array_equal(here["membership"], there["membership"])
  assert here["logits"].shape == (Q, M, A, K)
  assert (here["labels"] != there["labels"]).any()


@pytest.mark.slow
def test_pmap_and_shard_map_agree(start, tiny, tmp_path, finished):
  ended = start(
    f"--config={tiny}", f"--workdir={tmp_path / 'run'}", "--device_axis=pmap"
  )
  assert ended.code == 0, ended.err
  here = _arrays(tmp_path / "run" / "predictions.npz")
  there = _arrays(finished.workdir / "predictions.npz")
  assert here.keys() == there.keys()
  for name, expected in there.items():
    np.testing.assert_allclose(here[name], expected, rtol=1e-4, atol=1e-4)


def test_an_unknown_paradigm_is_refused_by_name():
  with pytest.raises(UserError, match=r"paradigm='magic': .*undefended"):
    paradigms.create("magic", None, None, None)
