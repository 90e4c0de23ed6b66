"""What a paradigm is given, and what it returns."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import (
  Checkpoints,
  Engine,
  EnsembleState,
  Learner,
  Workspace,
  train,
)
from syndata_jax.ensemble.train import EpochReport
from syndata_jax.privacy import PrivacyStatement


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
  # i32[Q], rows that are audited. No method knows them, but an audit may ask
  # what leaks if the worst happens to them.
  canaries: np.ndarray = np.zeros(0, np.int32)


class Paradigm(NamedTuple):
  """Two steps from private data to trained shadow models.

  Attributes:
    engine: the tools that `learn` uses, and the network that is queried.
    synthesize: `(key, private, workspace=Workspace()) -> TrainingSet`; with a
      workspace that has a folder it continues where it was stopped.
    learner: `(training_set, steps=0) -> Learner`, how one model learns from
      it; with `steps`, in epochs of no more than so many updates, for trials.
    statement: the formal guarantee of one model, None where there is none.
  """

  engine: Engine
  synthesize: Callable[..., TrainingSet]
  learner: Callable[..., Learner]
  statement: PrivacyStatement | None = None

  def learn(
    self,
    key: jax.Array,
    training_set: TrainingSet,
    checkpoints: Checkpoints | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
  ) -> EnsembleState:
    """Trains all shadow models; see `syndata_jax.ensemble.train`."""
    return train(
      self.engine.layout,
      self.learner(training_set),
      key,
      training_set,
      checkpoints,
      on_epoch,
    )


def private_data(
  key: jax.Array, private: Private, workspace: Workspace | None = None
) -> TrainingSet:
  """The default `synthesize`: the private data itself, nothing hidden."""
  del key, workspace
  return TrainingSet(private.images, private.labels, private.members)
