"""Dry runs of stages: what is run, what is predicted, what comes back."""

import jax
import numpy as np
import pytest
import small

from syndata_jax.ensemble import (
  Rounds,
  Workspace,
  make_layout,
  rehearsal,
  sgd,
  training,
)
from syndata_jax.ensemble.rehearsal import Rehearsal

M = 3
KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
  monkeypatch.setattr(rehearsal, "_SECONDS", 0.0)


def growing(number):
  """Rounds that present 10, 20, 30 ... images, counting as they go."""

  def program(state, own, fed, shared):
    return state + 1, {"x": state}, {"images": own[None] * (state + 1)}

  return Rounds(
    number,
    init=lambda own, shared: 0 * own,
    program=program,
    own=np.arange(1, M + 1, dtype=np.float32),
    shared=None,
    images=lambda n: 10 * n,
  )


def test_the_prediction_knows_that_rounds_grow(tmp_path):
  """The median of the first rounds stands for 10 images; 45 times as many."""
  trial = Rehearsal(tmp_path)
  layout = make_layout(M, devices=jax.devices()[:1])
  trial.repeat("pool", layout, growing(9))
  (estimate,) = trial.estimates
  assert (estimate.stage, estimate.rounds, estimate.models) == ("pool", 9, M)
  assert estimate.images == M * 450
  # The median round is the fifth: 50 images, five times the first.
  assert estimate.seconds >= estimate.round / 5 * 45
  assert trial.spent() > 0


def test_outputs_have_the_size_of_the_whole_stage(tmp_path):
  layout = make_layout(M, devices=jax.devices()[:1])
  short = Rehearsal(tmp_path / "trial").produce("draw", layout, growing(7))
  whole = Workspace(tmp_path / "whole").produce("draw", layout, growing(7))
  np.testing.assert_array_equal(
    whole.load("images"), np.outer([1, 2, 3], np.arange(1, 8))
  )
  # Three rounds were run; the last one's output stands for the rest.
  np.testing.assert_array_equal(
    short.load("images"), np.outer([1, 2, 3], [1, 2, 3, 3, 3, 3, 3])
  )


@pytest.mark.slow
def test_networks_are_tried_on_a_few_steps(tmp_path, monkeypatch):
  """One step of four: the epoch is predicted to be four times the trial's."""
  monkeypatch.setattr(rehearsal, "_STEPS", 1)
  engine, data = small.engine(M), small.training_set(M)
  asked = []

  def make(training_set, steps=0):
    asked.append(steps)
    return sgd(engine, training_set, steps)

  trial = Rehearsal(tmp_path)
  state = trial.train("experts", engine.layout, make, KEY, data, keep_all=True)
  assert asked == [0, 1]
  (estimate,) = trial.estimates
  assert estimate.images == M * 2 * 28  # two epochs of four batches of seven
  assert estimate.memory is None or estimate.memory > 0
  # What follows finds snapshots of the epochs that were run, and shapes.
  assert trial.checkpoints("experts").epochs() == [0, 1, 2]
  shapes = training(sgd(engine, data), KEY, data).shapes()
  same = lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype)
  assert jax.tree.all(jax.tree.map(same, state, shapes))
