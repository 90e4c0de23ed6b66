"""What a paradigm is: two steps from private data to trained shadow models."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from syndata_jax.data.training_set import Private, TrainingSet
from syndata_jax.ensemble import Engine, MakeLearner, Workspace
from syndata_jax.privacy import PrivacyStatement


class Synthesize(Protocol):
  """The first step: what the shadow models learn from.

  def private_data(key, private, workspace):
    return TrainingSet(None, None, private.members)
  """

  def __call__(
    self, key: jax.Array, private: Private, workspace: Workspace
  ) -> TrainingSet:
    """The training sets of all models.

    Model m's must follow from the rows `private.members[m]` alone.

    Args:
      key: root of every draw; model i uses a branch that depends on i alone.
      private: of all models.
      workspace: runs what takes long in stages, which resume.

    Raises:
      UserError: data that the settings do not fit.
    """
    ...


class Queried(NamedTuple):
  """Networks that the attack may ask."""

  engine: Engine  # the network, and how it reads pixels
  variables: Any  # of all models, what `engine.model.apply` takes, [M,...]


def no_others(training_set: TrainingSet) -> dict[str, Queried]:
  """There is no network but the released one."""
  del training_set
  return {}


class Paradigm(NamedTuple):
  """Two steps, either of which may be the default.

  Attributes:
    queried: the tools of the audited networks: what is queried, and how.
    synthesize: from the private data to what the models learn from.
    learner: how one model learns from it; see `MakeLearner`.
    statement: the formal guarantee of one model, None where there is none.
    others: `(training_set) ->` networks by name, such as a teacher, which the
      report sets beside the released one.
    chosen_as: what the report calls private rows that are in
      `TrainingSet.chosen`: "selected", "in the first images".
    shown: `(training_set, model) ->` its images as pixels, where the network
      does not read them through mean and deviation; see `pixels`.
    private: the data that it was created for, filled in by `create`.
  """

  queried: Engine
  synthesize: Synthesize
  learner: MakeLearner
  statement: PrivacyStatement | None = None
  others: Callable[[TrainingSet], dict[str, Queried]] = no_others
  chosen_as: str = "selected"
  shown: Callable[[TrainingSet, int], np.ndarray] | None = None
  private: Private | None = None

  def pixels(self, training_set: TrainingSet, model: int) -> np.ndarray:
    """The images of one model as a person sees them.

    Args:
      training_set: it has entered.
      model: which.

    Returns:
      f32[S,H,W,C]; what a display can show lies in [0, 1].
    """
    if self.shown is not None:
      return self.shown(training_set, model)
    images, _ = training_set.of_model(model)
    if images.dtype == np.uint8:
      return images.astype(np.float32) / 255
    return images * self.queried.std + self.queried.mean


def private_data(
  key: jax.Array, private: Private, workspace: Workspace
) -> TrainingSet:
  """The default `synthesize`: the private data itself, nothing hidden."""
  del key, workspace
  return TrainingSet(None, None, private.members)
