"""A coreset from one end of the program to the other."""

import contextlib
import hashlib
import json
import time

import numpy as np
import pytest
from PIL import Image

from syndata_jax import data
from syndata_jax.programs import shadows


@pytest.mark.slow
def test_a_coreset_is_kept_and_reported(start, config, tmp_path):
  workdir = tmp_path / "run"
  coreset = config("coreset", fraction=0.5)
  arguments = f"--config={coreset}", f"--workdir={workdir}"
  ended = start(*arguments)
  assert ended.code == 0, ended.err
  with np.load(workdir / "predictions.npz") as archive:
    selected, membership = archive["selected"], archive["membership"]
  with np.load(workdir / "split.npz") as archive:
    canaries = archive["canary_index"]
  stored = {path.name: path for path in (workdir / "synthetic").iterdir()}
  assert set(stored) == {
    "members.npy",
    "chosen.npy",
    "training_set.json",
    "first_model.png",
  }
  members = np.load(stored["members.npy"])
  assert members.shape == (6, 45)  # half of the 90 examples of a model
  # What the first model learns from, private images as they are.
  digits = data.subset(data.load("digits"), 100, 0)
  with np.load(workdir / "split.npz") as archive:
    labels = archive["labels"][members[0]]
  assert stored["first_model.png"].stat().st_mode & 0o777 == 0o600
  with Image.open(stored["first_model.png"]) as picture:
    sheet = np.asarray(picture)
  begun = digits.train_images[members[0][labels == labels.min()], :, :, 0]
  for column, image in enumerate(begun):
    shown = sheet[3:48:6, 50 * column + 3 : 50 * column + 48 : 6, 0]
    np.testing.assert_array_equal(shown, image)
  for q, row in enumerate(canaries):
    assert [row in own for own in members] == selected[q].tolist()
  selection = json.loads((workdir / "attack.json").read_text())["selection"]
  want = selected.sum(0) / membership.sum(0)
  np.testing.assert_allclose(selection["share"], want)
  report = (workdir / "report.txt").read_text()
  assert "of these, selected" in report and "are selected" in report

  # A run that was stopped after the selection does not select again.
  for name in ("predictions.npz", "attack.json"):
    (workdir / name).unlink()
  stamp = stored["members.npy"].stat().st_mtime_ns
  assert start(*arguments).code == 0
  assert stored["members.npy"].stat().st_mtime_ns == stamp
  for name, content in (
    ("members.npy", b"damaged"),
    ("training_set.json", b"[]"),
    ("training_set.json", b"{"),
  ):
    whole = stored[name].read_bytes()
    stored[name].write_bytes(content)
    (workdir / "predictions.npz").unlink(missing_ok=True)
    ended = start(*arguments)
    assert ended.code == 2 and ended.err.count("\n") == 1
    assert f"{name}: damaged" in ended.err
    stored[name].write_bytes(whole)


@pytest.mark.slow
def test_rows_that_another_model_owns_are_refused(start, config, tmp_path):
  """The stored rows of two models are exchanged, and the list agrees."""
  workdir = tmp_path / "run"
  coreset = config("coreset", fraction=0.5)
  arguments = f"--config={coreset}", f"--workdir={workdir}"
  assert start(*arguments).code == 0
  (workdir / "predictions.npz").unlink()
  path, listed = (
    workdir / "synthetic" / name
    for name in ("members.npy", "training_set.json")
  )
  np.save(path, np.load(path)[::-1].copy())
  digest = hashlib.sha256(path.read_bytes()).hexdigest()
  record = json.loads(listed.read_text())
  record["sha256"]["members"] = digest
  listed.write_text(json.dumps(record))
  ended = start(*arguments)
  assert ended.code == 2 and ended.err.count("\n") == 1
  assert "rows of its own members allowed alone" in ended.err


@pytest.fixture
def forgetting(config):
  """A config file; its selection trains networks."""
  return config(
    "coreset", method="forgetting", fraction=0.5, selection_epochs=5
  )


def stopping_at(last, rounds):
  """In place of `stage_progress`: an interruption by the user after a round."""

  @contextlib.contextmanager
  def progress(console):
    del console

    def show(done):
      if done.stage == "ensemble":
        return
      rounds.append((done.stage, done.number))
      if done.number == last:
        raise KeyboardInterrupt

    yield show

  return progress


@pytest.mark.slow
def test_a_stopped_selection_continues(
  start, forgetting, tmp_path, monkeypatch
):
  def training_set(workdir):
    folder = workdir / "synthetic"
    listed = json.loads((folder / "training_set.json").read_text())
    names = "chosen", "members"
    arrays = {name: np.load(folder / f"{name}.npy") for name in names}
    return arrays | {"seconds": listed["seconds"]}

  def run(name, last=None):
    """Ends a start; the rounds it ran, and its seconds."""
    workdir, rounds = tmp_path / name, []
    with monkeypatch.context() as patch:
      patch.setattr(shadows, "stage_progress", stopping_at(last, rounds))
      begin = time.perf_counter()
      ended = start(f"--config={forgetting}", f"--workdir={workdir}")
    numbers = [number for stage, number in rounds if stage == "selection_0"]
    assert len(numbers) == len(rounds)
    return ended, numbers, time.perf_counter() - begin

  whole = run("whole")
  assert whole[0].code == 0 and whole[1] == [1, 2, 3, 4, 5]
  stopped = run("stopped", last=3)
  assert stopped[0].code == 130 and stopped[1] == [1, 2, 3]
  clock = tmp_path / "stopped" / "synthetic" / "spent.json"
  first = json.loads(clock.read_text())["seconds"]
  assert 0 < first < stopped[2]
  again = run("stopped", last=4)  # the third round has no checkpoint yet
  assert again[0].code == 130 and again[1] == [3, 4]
  both = json.loads(clock.read_text())["seconds"]
  assert 0 < both - first < again[2]
  clock.write_text('{"seconds": 5000.0}')  # far above what these take
  ended, numbers, seconds = run("stopped")
  assert ended.code == 0, ended.err
  assert numbers == [4, 5]
  got, want = (training_set(tmp_path / name) for name in ("stopped", "whole"))
  np.testing.assert_array_equal(got["chosen"], want["chosen"])
  np.testing.assert_array_equal(got["members"], want["members"])
  assert 0 < got["seconds"] - 5000 < seconds
  assert 0 < want["seconds"] < whole[2]
  machine = json.loads((tmp_path / "stopped" / "machine.json").read_text())
  assert machine["synthesize_seconds"] == got["seconds"]
  for name in ("predictions.npz", "attack.json"):
    parts = (tmp_path / part / name for part in ("stopped", "whole"))
    assert len({part.read_bytes() for part in parts}) == 1


@pytest.mark.slow
def test_a_distilled_set_is_kept_and_reported(start, config, tmp_path):
  """Every class begins with a canary, where a member canary has its label."""
  distillation = config(
    "distillation",
    images_per_class=1,
    iterations=2,
    force_canaries=True,
    whiten=True,
    distill_model_options={"width": 2, "depth": 1},
    augmentation="crop",
    image_learning_rate=1e-9,
  )
  workdir = tmp_path / "run"
  arguments = f"--config={distillation}", f"--workdir={workdir}"
  ended = start(*arguments)
  assert ended.code == 0, ended.err
  load = lambda name: np.load(workdir / "synthetic" / f"{name}.npy")
  assert load("images").shape == (6, 10, 8, 8, 1)
  assert load("labels").tolist() == [list(range(10))] * 6
  assert load("released.whitening.matrix").shape == (6, 64, 64)
  chosen = load("chosen")
  with np.load(workdir / "predictions.npz") as archive:
    selected, membership = archive["selected"], archive["membership"]
    labels = archive["labels"]
  with np.load(workdir / "split.npz") as archive:
    canaries = archive["canary_index"]
  for model in range(6):
    # A class that some member canary is labelled with begins with one.
    own = set(labels[membership[:, model]])
    begun = set(labels[np.isin(canaries, chosen[model])])
    assert own == begun
  # Whitened images are shown as pixels again.
  with Image.open(workdir / "synthetic" / "first_model.png") as picture:
    sheet = np.asarray(picture).astype(int)
  digits = data.subset(data.load("digits"), 100, 0)
  begun = digits.train_images[chosen[0], :, :, 0]
  assert sheet.shape == (498, 48, 3)  # enlarged six times, two between them
  for k, image in enumerate(begun):
    shown = sheet[50 * k : 50 * k + 48]
    assert abs(shown[3::6, 3::6, 0] - image.astype(int)).max() <= 1
  report = " ".join((workdir / "report.txt").read_text().split())
  assert "of these, in the first" in report
  assert "are in the first images" in report

  # Read back, it gives the same models.
  before = (workdir / "predictions.npz").read_bytes()
  (workdir / "predictions.npz").unlink()
  (workdir / "attack.json").unlink()
  assert start(*arguments).code == 0
  assert (workdir / "predictions.npz").read_bytes() == before
  assert (selected <= membership).all()
