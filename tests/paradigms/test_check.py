"""The trial with noise finds what models are told of each other."""

import functools

import jax
import numpy as np
import pytest
import small
from variants import others_slow

from syndata_jax import models, paradigms
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import sgd
from syndata_jax.errors import UserError
from syndata_jax.paradigms import (
  Paradigm,
  coreset,
  distillation,
  dpsgd,
  private_data,
)

M = 2


def engine():
  tools = small.engine(M, devices=jax.devices()[:1])
  return tools._replace(
    model=models.create("convnet", small.CLASSES, width=2, depth=1)
  )


def private():
  return paradigms.Private(*small.training_set(M)[:3], small.CLASSES)


def made(synthesize, **fields):
  tools = engine()
  learner = functools.partial(sgd, tools)
  return Paradigm(tools, synthesize, learner, **fields)


def own_rows(private):
  rows = private.members
  return private.images[rows], private.labels[rows]


@pytest.mark.parametrize(
  ("name", "options"),
  [
    ("undefended", None),
    pytest.param(
      "coreset",
      coreset.Options(
        method="margin", fraction=0.5, selection_epochs=1, selection_networks=1
      ),
      marks=pytest.mark.slow,
    ),
    pytest.param(
      # Classes of few images, of different size in every model.
      "distillation",
      distillation.Options(
        method="dm",
        images_per_class=2,
        initialisation="noise",
        iterations=2,
        augmentation="crop",
        distill_model_options={"width": 2, "depth": 1},
      ),
      marks=pytest.mark.slow,
    ),
    pytest.param(
      "dpsgd",
      dpsgd.Options(
        noise_multiplier=1.0, delta=0.01, augmentation_multiplicity=1
      ),
      marks=pytest.mark.slow,
    ),
  ],
)
def test_the_paradigms_keep_their_models_apart(name, options):
  paradigms.check(paradigms.create(name, engine(), options, private()))


def shared_mean(key, private, workspace):
  """Images less the mean of the whole pool: one stage for all models."""
  images, labels = own_rows(private)
  mean = private.images.mean(0)
  return TrainingSet((images / 255 - mean).astype("f4"), labels, None)


def shared_rate(key, private, workspace):
  """A number about all labels, released to every model."""
  images, labels = own_rows(private)
  weights = np.arange(len(private.labels))
  rate = (private.labels * weights).sum() / weights.sum()
  released = {"about": {"rate": np.full(M, rate, np.float32)}}
  return TrainingSet(images, labels, None, released)


def first_rows(key, private, workspace):
  """Chosen by the brightness of other models' images."""
  turn = int(private.images.astype(int).sum()) % 7
  rows = np.roll(private.members, turn, axis=1)[:, :12].copy()
  return TrainingSet(None, None, rows, chosen=rows)


@pytest.mark.parametrize(
  ("synthesize", "message"),
  others_slow(
    [
      (shared_mean, r"images, params\.\S+.* of model 0 must not follow"),
      (shared_rate, r"paradigm: released about\.rate of model 0 must"),
      (first_rows, r"chosen, images, "),
    ]
  ),
)
def test_a_stage_that_is_shared_is_named(synthesize, message):
  with pytest.raises(UserError, match=message) as error:
    paradigms.check(made(synthesize), private())
  assert "\n" not in str(error.value)


def test_a_learner_that_looks_elsewhere_is_named():
  """The set is right, and the training reads a row that one model lacks."""
  data = private()
  absent, row = next(
    (m, row)
    for m in range(M)
    for row in range(small.POOL)
    if row not in data.members[m]
  )

  def make_learner(training_set, steps=0):
    def peek(key, images, index):
      return images[index] // 2 + images[row] // 2

    return sgd(engine(), training_set, steps, gather=peek)

  paradigm = Paradigm(engine(), private_data, make_learner)
  with pytest.raises(UserError, match=rf"params.* of model {absent} must"):
    paradigms.check(paradigm, data)


def test_data_is_needed():
  with pytest.raises(UserError, match="needs the private data"):
    paradigms.check(made(private_data))
