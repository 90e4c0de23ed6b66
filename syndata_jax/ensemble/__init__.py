"""Many models at once: the contract, SGD, stages, devices, prediction."""

from syndata_jax.ensemble.checkpoints import Checkpoints
from syndata_jax.ensemble.engine import Engine
from syndata_jax.ensemble.host_stages import HostRounds
from syndata_jax.ensemble.layout import Layout, make_layout
from syndata_jax.ensemble.learner import Learner, MakeLearner, Own, Pool, data
from syndata_jax.ensemble.predict import (
  accuracy,
  over_members,
  predict,
  querier,
)
from syndata_jax.ensemble.recipe import Recipe, steps_per_epoch
from syndata_jax.ensemble.sgd import (
  answers,
  filled,
  make_epoch,
  make_step,
  sgd,
  shuffled_batches,
  variables,
)
from syndata_jax.ensemble.shards import Shards
from syndata_jax.ensemble.stages import (
  Round,
  Rounds,
  Workspace,
  repeat,
  training,
)

__all__ = [
  "Checkpoints",
  "Engine",
  "HostRounds",
  "Layout",
  "Learner",
  "MakeLearner",
  "Own",
  "Pool",
  "Recipe",
  "Round",
  "Rounds",
  "Shards",
  "Workspace",
  "accuracy",
  "answers",
  "data",
  "filled",
  "make_epoch",
  "make_layout",
  "make_step",
  "over_members",
  "predict",
  "querier",
  "repeat",
  "sgd",
  "shuffled_batches",
  "steps_per_epoch",
  "training",
  "variables",
]
