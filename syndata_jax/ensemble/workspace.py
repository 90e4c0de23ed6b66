"""Where a stage keeps what a kill must not lose, and whom it tells how far."""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

import jax

from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble.checkpoints import Checkpoints
from syndata_jax.ensemble.layout import Layout
from syndata_jax.ensemble.learner import Learner
from syndata_jax.ensemble.state import EnsembleState
from syndata_jax.ensemble.train import EpochReport, train
from syndata_jax.errors import UserError


class Round(NamedTuple):
  """One round of a stage, such as an epoch of its networks."""

  stage: str
  number: int  # 1 is the first
  of: int  # rounds of the whole stage
  seconds: float  # those of the first include compilation
  loss: float  # mean over the models


class Workspace(NamedTuple):
  """What `synthesize` is lent by the program that calls it.

  Attributes:
    folder: for checkpoints, one folder a stage; None to keep nothing.
    on_round: is told of every round.
    trial: how many rounds each stage may run; 0 for all. After a trial the
      results have the right shapes and are worth nothing.
    every: rounds between two checkpoints.
  """

  folder: pathlib.Path | None = None
  on_round: Callable[[Round], None] = lambda _: None
  trial: int = 0
  every: int = 10

  def rounds(self, number: int) -> int:
    """Rounds to run of a stage of so many."""
    return min(number, self.trial) if self.trial else number

  def checkpoints(
    self, stage: str, keep_all: bool = False
  ) -> Checkpoints | None:
    """Those of one stage."""
    if self.folder is None:
      return None
    every = 1 if keep_all else self.every
    return Checkpoints(self.folder / stage, every, keep_all)

  def train(
    self,
    stage: str,
    layout: Layout,
    learner: Learner,
    key: jax.Array,
    training_set: TrainingSet,
    checkpoints: Checkpoints | None = None,
  ) -> EnsembleState:
    """Trains the networks of a stage; see `syndata_jax.ensemble.train`.

    Args:
      stage: its name, and that of its folder.
      layout: which model runs where.
      learner: how one model learns.
      key: root of every draw.
      training_set: of all models.
      checkpoints: the stage's own if None.

    Raises:
      UserError: that of the training, behind the name of the stage.
    """
    number = learner.num_epochs

    def on_epoch(report: EpochReport) -> None:
      self.on_round(
        Round(
          stage, report.epoch, number, report.seconds, float(report.loss.mean())
        )
      )

    try:
      return train(
        layout,
        learner._replace(num_epochs=self.rounds(number)),
        key,
        training_set,
        checkpoints or self.checkpoints(stage),
        on_epoch,
      )
    except UserError as error:
      # The settings it speaks of are the stage's, not the final training's.
      raise UserError(f"{stage}: {error}") from error
