"""What a paradigm is given, and what it returns."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import Engine, EnsembleState, train


class Private(NamedTuple):
  """The private data of all shadow models.

  Model m owns the rows `members[m]` of the pool and nothing else: whatever is
  selected, fitted or synthesised for it must come from those rows alone, or
  the audit is void.
  """

  images: np.ndarray  # u8[N,H,W,C], canaries planted
  labels: np.ndarray  # i32[N], canaries relabelled
  members: np.ndarray  # i32[M,n]
  num_classes: int


class Paradigm(NamedTuple):
  """Two steps from private data to trained shadow models.

  Attributes:
    synthesize: `(key, private) -> TrainingSet`.
    learn: `(key, training_set, checkpoints=None, on_epoch=None) ->
      EnsembleState`, as `syndata_jax.ensemble.train`.
  """

  synthesize: Callable[[jax.Array, Private], TrainingSet]
  learn: Callable[..., EnsembleState]


def private_data(key: jax.Array, private: Private) -> TrainingSet:
  """The default `synthesize`: the private data itself, nothing hidden."""
  del key
  return TrainingSet(private.images, private.labels, private.members)


def sgd(engine: Engine) -> Callable[..., EnsembleState]:
  """The default `learn`: SGD by the engine's recipe."""

  def learn(key, training_set, checkpoints=None, on_epoch=None):
    return train(engine, key, training_set, checkpoints, on_epoch)

  return learn
