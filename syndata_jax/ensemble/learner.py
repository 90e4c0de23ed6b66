"""How one model learns: what a paradigm hands to `train`."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax

from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import state as states
from syndata_jax.ensemble.engine import Engine
from syndata_jax.ensemble.epoch import Gather, Metrics, Own, Pool, make_epoch
from syndata_jax.ensemble.recipe import optimizer, steps_per_epoch
from syndata_jax.ensemble.state import ModelState


class Learner(NamedTuple):
  """Pure functions of one model's state, data and keys.

  Attributes:
    num_epochs: epochs of the whole training.
    images: examples presented to one model in an epoch.
    init: `(key) -> state`, a fresh model. The state is a pytree of arrays.
    epoch: `(state, own, pool) -> (state, metrics)`.
    finish: `(state) -> ModelState`, the model that is released and attacked;
      called on the host with the states of all models, leaves [M,...].
    shared: a pytree of arrays that all models read as `pool.extra`.
  """

  num_epochs: int
  images: int
  init: Callable[[jax.Array], Any]
  epoch: Callable[[Any, Own, Pool], tuple[Any, Metrics]]
  finish: Callable[[Any], ModelState] = lambda state: state
  shared: Any = None


def sgd(
  engine: Engine,
  training_set: TrainingSet,
  steps: int = 0,
  gather: Gather | None = None,
) -> Learner:
  """Learning by the engine's recipe.

  Args:
    engine: network and recipe.
    training_set: of all models.
    steps: of an epoch, where it is to be shorter than the data, for a trial.
    gather: takes a batch from the pool, where not as the recipe says.

  Raises:
    UserError: a batch larger than one model's data.
  """
  recipe = engine.recipe
  whole = steps_per_epoch(recipe, training_set.members.shape[1])
  steps = min(steps or whole, whole)
  rule = optimizer(recipe, steps)
  return Learner(
    recipe.num_epochs,
    steps * recipe.batch_size,
    partial(
      states.init,
      model=engine.model,
      optimizer=rule,
      image_shape=training_set.images.shape[1:],
    ),
    make_epoch(engine, rule, steps, gather),
  )
