"""Training the ensemble: one compiled call an epoch, checkpoints between."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import memory
from syndata_jax.ensemble.checkpoints import Checkpoints
from syndata_jax.ensemble.epoch import Own, Pool
from syndata_jax.ensemble.layout import Layout
from syndata_jax.ensemble.learner import Learner
from syndata_jax.ensemble.rounds import Rounds, repeat
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


class Prepared(NamedTuple):
  """Training that can start: everything it needs is on the devices."""

  run: jax.stages.Wrapped  # (states, own, pool) -> (states, metrics)
  fresh: Callable[[], Any]  # states of new models, not placed yet
  shapes: Any  # of the states, leaves [M,...]
  own: Own  # placed
  pool: Pool  # replicated


def model_keys(key: jax.Array, num_models: int) -> jax.Array:
  """key[M]: model i's key depends on i alone, not on M or the devices."""
  ids = jnp.arange(num_models)
  return jax.vmap(partial(jax.random.fold_in, stream(key, "model")))(ids)


def prepare(
  layout: Layout, learner: Learner, key: jax.Array, training_set: TrainingSet
) -> Prepared:
  """Puts keys and data on the devices; nothing is compiled yet."""
  keys = model_keys(key, layout.num_models)
  # A loop, since vmapped random bits take much longer to compile.
  init = jax.jit(partial(lax.map, learner.init))
  return Prepared(
    run=layout.compile(learner.epoch, donate=True),
    fresh=lambda: init(keys),
    shapes=jax.eval_shape(init, keys),
    own=layout.place(
      Own(
        keys,
        jnp.asarray(training_set.members),
        jax.tree.map(jnp.asarray, training_set.learning_rate),
        jnp.arange(layout.num_models),
      )
    ),
    pool=layout.replicate(
      Pool(
        jnp.asarray(training_set.images),
        jnp.asarray(training_set.labels),
        jax.tree.map(jnp.asarray, learner.shared),
      )
    ),
  )


def fitted(
  layout: Layout, learner: Learner, key: jax.Array, training_set: TrainingSet
) -> Layout:
  """The layout with as many models at once as this learner's memory allows."""

  def lower(one: Layout) -> jax.stages.Lowered:
    run, _, shapes, own, pool = prepare(one, learner, key, training_set)
    return run.lower(shapes, own, pool)

  return memory.fit_program(layout, lower, memory.capacity(layout.devices[0]))


def train(
  layout: Layout,
  learner: Learner,
  key: jax.Array,
  training_set: TrainingSet,
  checkpoints: Checkpoints | None = None,
  on_epoch: Callable[[EpochReport], None] | None = None,
) -> EnsembleState:
  """Trains all shadow models.

  Where several processes share the devices (`jax.distributed`), all of them
  call it with the same arguments, and all get the same result.

  Args:
    layout: which model runs where.
    learner: how one model learns, such as `learner.sgd`.
    key: root of every draw; model i uses its own branch.
    training_set: the pool and, for each model, the rows it learns from.
    checkpoints: where to continue from and to save to; none if None.
    on_epoch: called after each epoch of this process.

  Returns:
    The trained ensemble on the host, every leaf [M,...].

  Raises:
    UserError: a loss that is no longer finite (which model, which epoch), a
      checkpoint of a longer training, or processes that see different ones.
  """
  run, fresh, shapes, own, pool = prepare(layout, learner, key, training_set)

  def on_round(
    epoch: int, seconds: float, metrics: tuple[np.ndarray, ...]
  ) -> None:
    loss, accuracy = metrics
    _check_finite(loss, epoch)
    if on_epoch:
      images = layout.num_models * learner.images
      on_epoch(EpochReport(epoch, seconds, images, loss, accuracy))

  epochs = Rounds(
    learner.num_epochs, "num_epochs", run, fresh, shapes, lambda epoch: own
  )
  return learner.finish(repeat(layout, epochs, pool, checkpoints, on_round))


def _check_finite(loss: np.ndarray, epoch: int) -> None:
  broken = np.flatnonzero(~np.isfinite(loss))
  if broken.size:
    raise UserError(
      f"learning_rate: the loss of model {broken[0]} became {loss[broken[0]]}"
      f" in epoch {epoch}; choose a smaller learning rate or more warm-up"
    )
