"""Training the ensemble: one compiled call an epoch, checkpoints between."""

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import state as states
from syndata_jax.ensemble.checkpoints import Checkpoints
from syndata_jax.ensemble.engine import Engine
from syndata_jax.ensemble.epoch import Own, Pool, make_epoch
from syndata_jax.ensemble.recipe import optimizer, steps_per_epoch
from syndata_jax.ensemble.state import EnsembleState
from syndata_jax.errors import UserError
from syndata_jax.keys import stream


class EpochReport(NamedTuple):
  """What is known after an epoch, on the host."""

  epoch: int  # 1 after the first
  seconds: float  # wall time; that of the first includes compilation
  images: int  # presented to all models together
  loss: np.ndarray  # f32[M]
  accuracy: np.ndarray  # f32[M], training mode


def model_keys(key: jax.Array, num_models: int) -> jax.Array:
  """key[M]: model i's key depends on i alone, not on M or the devices."""
  ids = jnp.arange(num_models)
  return jax.vmap(partial(jax.random.fold_in, stream(key, "model")))(ids)


def train(
  engine: Engine,
  key: jax.Array,
  training_set: TrainingSet,
  checkpoints: Checkpoints | None = None,
  on_epoch: Callable[[EpochReport], None] | None = None,
) -> EnsembleState:
  """Trains all shadow models with SGD.

  Args:
    engine: network, recipe, layout and normalisation.
    key: root of every draw; model i uses its own branch.
    training_set: the pool and, for each model, the rows it learns from.
    checkpoints: where to continue from and to save to; none if None.
    on_epoch: called after each epoch of this process.

  Returns:
    The trained ensemble on the host, every leaf [M,...].

  Raises:
    UserError: a batch larger than one model's data, or a loss that is no
      longer finite (which model, which epoch).
  """
  layout, recipe = engine.layout, engine.recipe
  num_examples = training_set.members.shape[1]
  steps = steps_per_epoch(recipe, num_examples)
  sgd = optimizer(recipe, steps)
  keys = model_keys(key, layout.num_models)
  fresh = partial(
    states.init,
    model=engine.model,
    optimizer=sgd,
    image_shape=training_set.images.shape[1:],
  )
  shapes = jax.eval_shape(jax.vmap(fresh), keys)
  done, state = (checkpoints.latest(shapes) if checkpoints else None) or (
    0,
    None,
  )
  if state is None:
    # A loop, since vmapped random bits take much longer to compile.
    state = jax.jit(partial(lax.map, fresh))(keys)
  if done == recipe.num_epochs:
    return state
  state = layout.place(state)
  own = layout.place(Own(keys, jnp.asarray(training_set.members)))
  pool = layout.replicate(
    Pool(jnp.asarray(training_set.images), jnp.asarray(training_set.labels))
  )
  run = layout.compile(make_epoch(engine, sgd, steps), donate=True)
  images = layout.num_models * steps * recipe.batch_size

  for epoch in range(done + 1, recipe.num_epochs + 1):
    start = time.perf_counter()
    with jax.transfer_guard("disallow"):  # nothing moves but the metrics
      state, metrics = run(state, own, pool)
    loss, accuracy = layout.gather(metrics)
    seconds = time.perf_counter() - start
    _check_finite(loss, epoch)
    # Reported first: a run killed in between repeats the epoch and its report.
    if on_epoch:
      on_epoch(EpochReport(epoch, seconds, images, loss, accuracy))
    if checkpoints and checkpoints.due(epoch, recipe.num_epochs):
      checkpoints.save(epoch, layout.gather(state))
  return layout.gather(state)


def _check_finite(loss: np.ndarray, epoch: int) -> None:
  broken = np.flatnonzero(~np.isfinite(loss))
  if broken.size:
    raise UserError(
      f"learning_rate: the loss of model {broken[0]} became {loss[broken[0]]}"
      f" in epoch {epoch}; choose a smaller learning rate or more warm-up"
    )
