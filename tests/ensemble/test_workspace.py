"""What `synthesize` is lent: folders, reports, and trials."""

import dataclasses
import shutil

import ensembles
import jax
import numpy as np
import pytest

from syndata_jax import models
from syndata_jax.ensemble import Checkpoints, Workspace, sgd, train
from syndata_jax.errors import UserError

M, EPOCHS = 3, 4
KEY = jax.random.key(7)


def tools():
  """A network that compiles fast, and two devices."""
  engine = ensembles.engine(M, devices=jax.devices()[:2])
  recipe = dataclasses.replace(engine.recipe, num_epochs=EPOCHS, flip=False)
  network = models.create("convnet", ensembles.CLASSES, width=2, depth=1)
  return engine._replace(model=network, recipe=recipe)


def staged(workspace, keep_all=False):
  """Trains the small ensemble as a stage of a workspace."""
  engine, data = tools(), ensembles.training_set(M)
  checkpoints = workspace.checkpoints("experts", keep_all=keep_all)
  return workspace.train(
    "experts", engine.layout, sgd(engine, data), KEY, data, checkpoints
  )


def same(got, want):
  assert jax.tree.structure(got) == jax.tree.structure(want)
  jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """A stage that keeps every checkpoint: (folder, state, reports)."""
  folder, told = tmp_path_factory.mktemp("whole"), []
  state = staged(Workspace(folder, told.append), keep_all=True)
  return folder, state, told


def test_every_round_is_told(whole):
  _, state, told = whole
  assert [(r.stage, r.number, r.of) for r in told] == [
    ("experts", number, EPOCHS) for number in range(1, EPOCHS + 1)
  ]
  assert all(r.seconds > 0 for r in told)
  engine, data, losses = tools(), ensembles.training_set(M), []
  alone = train(
    engine.layout,
    sgd(engine, data),
    KEY,
    data,
    on_epoch=lambda report: losses.append(float(report.loss.mean())),
  )
  assert [r.loss for r in told] == losses
  same(state, alone)


@pytest.mark.parametrize("last", [0, 2])
def test_any_kept_checkpoint_continues_to_the_same_bits(whole, tmp_path, last):
  folder, state, _ = whole
  shutil.copytree(folder, tmp_path / "copy")
  for epoch in range(last + 1, EPOCHS + 1):
    stem = tmp_path / "copy" / "experts" / f"{epoch:05d}"
    stem.with_suffix(".sha256").unlink()
    shutil.rmtree(stem)
  told = []
  again = staged(Workspace(tmp_path / "copy", told.append), keep_all=True)
  assert [r.number for r in told] == list(range(last + 1, EPOCHS + 1))
  same(again, state)


@pytest.mark.parametrize("trial", [1, 3])
def test_a_trial_is_the_beginning_of_the_stage(whole, trial):
  """The same shapes, and the very state after so many rounds."""
  folder, state, _ = whole
  told = []
  short = staged(Workspace(on_round=told.append, trial=trial))
  assert [(r.number, r.of) for r in told] == [
    (number, EPOCHS) for number in range(1, trial + 1)
  ]
  kept = Checkpoints(folder / "experts", keep_all=True)
  for leaf, (got, full) in enumerate(
    zip(jax.tree.leaves(short), jax.tree.leaves(state), strict=True)
  ):
    assert got.shape == full.shape and got.dtype == full.dtype
    want = kept.rows(trial, leaf, np.arange(M))
    np.testing.assert_array_equal(got, want)


def test_a_trial_is_never_longer_than_the_stage():
  assert [Workspace(trial=5).rounds(n) for n in (3, 5, 90)] == [3, 5, 5]
  assert [Workspace().rounds(n) for n in (3, 90)] == [3, 90]


def test_checkpoints_have_a_folder_a_stage(tmp_path):
  assert Workspace().checkpoints("experts") is None
  workspace = Workspace(tmp_path, every=7)
  assert workspace.checkpoints("a") == Checkpoints(tmp_path / "a", 7, False)
  assert workspace.checkpoints("b", keep_all=True) == Checkpoints(
    tmp_path / "b", 1, True
  )


def test_a_stage_has_checkpoints_without_asking(tmp_path):
  engine, data = tools(), ensembles.training_set(M)
  workspace = Workspace(tmp_path, every=3)
  workspace.train("one", engine.layout, sgd(engine, data), KEY, data)
  kept = sorted(path.stem for path in (tmp_path / "one").glob("*.sha256"))
  assert kept == ["00003", "00004"]


def test_an_error_names_the_stage():
  engine, data = tools(), ensembles.training_set(M)
  recipe = dataclasses.replace(
    engine.recipe, learning_rate=1e30, warmup_epochs=0
  )
  learner = sgd(engine._replace(recipe=recipe), data)
  with pytest.raises(UserError, match="experts: learning_rate: the loss of"):
    Workspace().train("experts", engine.layout, learner, KEY, data)
