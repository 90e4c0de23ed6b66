"""A small ensemble for tests, and short ways to train it."""

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax import models, paradigms
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import (
  Checkpoints,
  Engine,
  Layout,
  Learner,
  MakeLearner,
  Recipe,
  Workspace,
  make_layout,
  repeat,
  training,
)
from syndata_jax.ensemble.stages import place

SHAPE = (8, 8, 1)
POOL, OWN, CLASSES = 40, 24, 3


def training_set(num_models: int) -> TrainingSet:
  """Random images; the members of model m do not depend on num_models."""
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (POOL, *SHAPE), dtype=np.uint8)
  labels = rng.integers(0, CLASSES, POOL).astype(np.int32)
  members = [
    np.random.default_rng(m).permutation(POOL)[:OWN] for m in range(num_models)
  ]
  return TrainingSet(images, labels, np.stack(members).astype(np.int32))


def engine(
  num_models: int, model: str = "convnet", dtype: str = "float32", **layout
) -> Engine:
  """Two epochs of four steps, with shifts and flips."""
  options = {"convnet": {"width": 4, "depth": 1}, "resnet18": {"width": 2}}
  return Engine(
    model=models.create(
      model, CLASSES, dtype=jnp.dtype(dtype), **options[model]
    ),
    recipe=Recipe(
      num_epochs=2, batch_size=7, learning_rate=0.02, shift=1, flip=True
    ),
    layout=make_layout(num_models, **layout),
    mean=(0.5,),
    std=(0.25,),
    dtype=jnp.dtype(dtype),
  )


def learn(
  layout: Layout,
  make_learner: MakeLearner,
  data: TrainingSet,
  key: jax.Array,
  checkpoints: Checkpoints | None = None,
  on_round=lambda done: None,
):
  """Trains a set that has entered: the last states, leaves [M,...]."""
  rounds = training(make_learner(data), key, data)
  return repeat(layout, rounds, checkpoints, on_round)


def prepared(layout: Layout, learner: Learner, data: TrainingSet, key):
  """The compiled epoch and what it is called with: (run, arguments)."""
  rounds = training(learner, key, data)
  placed = place(layout, rounds)
  states = placed.init(None, placed.own, placed.shared)
  return placed.run, (states, placed.fed(rounds, 1), placed.shared)


def run(paradigm, private, key, folder) -> paradigms.Outcome:
  """Both steps of a paradigm in a workspace without checkpoints between."""
  return paradigms.run(paradigm, key, private, Workspace(folder, every=10**9))
