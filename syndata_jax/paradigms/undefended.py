"""The undefended baseline: SGD on the private data."""

import dataclasses
import functools

from syndata_jax.data.training_set import Private
from syndata_jax.ensemble import Engine, sgd, steps_per_epoch
from syndata_jax.paradigms.interface import Paradigm, private_data


@dataclasses.dataclass(frozen=True)
class Options:
  """There is nothing to set."""


def make(engine: Engine, options: Options, private: Private) -> Paradigm:
  """Both steps are the default ones.

  Raises:
    UserError: a batch larger than one model's data.
  """
  del options
  steps_per_epoch(engine.recipe, private.members.shape[1])
  return Paradigm(engine, private_data, functools.partial(sgd, engine))
