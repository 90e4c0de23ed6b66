"""What a paradigm is: two steps from private data to trained shadow models."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax

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
  """

  queried: Engine
  synthesize: Synthesize
  learner: MakeLearner
  statement: PrivacyStatement | None = None
  others: Callable[[TrainingSet], dict[str, Queried]] = no_others
  chosen_as: str = "selected"


def private_data(
  key: jax.Array, private: Private, workspace: Workspace
) -> TrainingSet:
  """The default `synthesize`: the private data itself, nothing hidden."""
  del key, workspace
  return TrainingSet(None, None, private.members)
