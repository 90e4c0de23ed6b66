"""One model on several devices, against gradient descent by hand."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import (
  Learner,
  Workspace,
  data,
  make_epoch,
  training,
)
from syndata_jax.ensemble.data_axis import make_data_axis
from syndata_jax.ensemble.stages import place

KEY = jax.random.key(5)
ROWS, EPOCHS, RATE = 24, 3, 0.1
SHAPE = (2, 2, 1)


class State(NamedTuple):
  step: jax.Array
  weights: jax.Array


def training_set():
  draw = np.random.default_rng(1)
  images = draw.normal(size=(ROWS, *SHAPE)).astype(np.float32)
  labels = draw.integers(0, 2, ROWS).astype(np.int32)
  return TrainingSet(images, labels, np.arange(ROWS, dtype=np.int32)[None])


def learner(axis, training_set, steps=0):
  """A linear model, all rows in every step."""

  def loss(weights, images, labels):
    losses = (images.reshape(ROWS, -1) @ weights - labels) ** 2
    return losses.mean(), losses

  def step(state, index, own, pool):
    index = axis.split(index)
    images, labels, _ = data(own, pool)
    gradient, losses = jax.grad(loss, has_aux=True)(
      state.weights, images[index], labels[index]
    )
    weights = state.weights - RATE * gradient
    return State(state.step + 1, weights), {"loss": losses}

  return Learner(
    EPOCHS,
    images=lambda epoch: ROWS,
    init=lambda own, pool: State(jnp.int32(0), jnp.zeros(4)),
    epoch=make_epoch(step, ROWS, 1),
    release=lambda state: {"params": state.weights},
  )


def by_hand():
  """Losses before every step, and the weights after the last."""
  images, labels, _ = training_set()[:3]
  flat, weights, losses = images.reshape(ROWS, -1), np.zeros(4), []
  for _ in range(EPOCHS):
    errors = flat @ weights - labels
    losses.append((errors**2).mean())
    weights = weights - RATE * 2 * flat.T @ errors / ROWS
  return losses, weights


@pytest.mark.parametrize("devices", [1, 2, 8])
def test_every_device_ends_with_the_whole_model(tmp_path, devices):
  axis = make_data_axis(ROWS, jax.devices()[:devices])
  losses = []
  workspace = Workspace(
    tmp_path, lambda done: losses.append(done.metrics["loss"].item())
  )
  state = workspace.train(
    "public", axis, partial(learner, axis), KEY, training_set()
  )
  expected, weights = by_hand()
  np.testing.assert_allclose(losses, expected, rtol=1e-5)
  np.testing.assert_allclose(state.weights[0], weights, rtol=1e-5)
  assert state.step.tolist() == [EPOCHS]


def test_a_device_computes_its_part_alone():
  """Of 24 rows 3 on each of 8 devices, and gradients are added up."""
  axis = make_data_axis(ROWS)
  assert len(axis.devices) == 8
  rounds = training(learner(axis, training_set()), KEY, training_set())
  placed = place(axis, rounds)
  state = placed.init(None, placed.own, placed.shared)
  arguments = state, placed.fed(rounds, 1), placed.shared
  program = placed.run.lower(*arguments).compile().as_text()
  assert "all-reduce" in program
  assert "f32[3,4]" in program and "f32[24,4]" not in program


def test_devices_that_divide_no_batch_are_left_out():
  assert len(make_data_axis(12).devices) == 6
  assert len(make_data_axis(7).devices) == 7
  assert len(make_data_axis(1).devices) == 1
