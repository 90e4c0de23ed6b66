"""One epoch of one model, as one function: the body of the compiled step.

`layout.compile` turns it into the epoch of the whole ensemble. All models
read one pool of images on the device through their own index arrays.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from syndata_jax.data import augmentation
from syndata_jax.ensemble.engine import Engine
from syndata_jax.ensemble.state import ModelState
from syndata_jax.keys import stream


class Own(NamedTuple):
  """What belongs to one model."""

  key: jax.Array  # its typed key: all its draws come from here
  members: jax.Array  # i32[n], rows of the pool that it learns from
  # f32[], takes the place of the recipe's peak; None to keep that.
  learning_rate: jax.Array | None = None
  number: jax.Array | None = None  # i32[], 0 to M - 1


class Pool(NamedTuple):
  """What all models share."""

  images: jax.Array  # u8[N,H,W,C], or f32 as the network reads them
  labels: jax.Array  # i32[N], or f32[N,K], logits of soft labels
  extra: Any = None  # what else the learner asks for


class Metrics(NamedTuple):
  """Means over the examples of one epoch, taken before each update."""

  loss: jax.Array  # f32[], cross-entropy in nats
  accuracy: jax.Array  # f32[], in [0, 1], in training mode


class Answers(NamedTuple):
  """What the network said of each example of a batch, in training mode."""

  loss: jax.Array  # f32[B], cross-entropy in nats
  correct: jax.Array  # bool[B]


# (key, pool of images, i32[B]) -> images [B,H,W,C]
Gather = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def shuffled_batches(
  key: jax.Array, members: jax.Array, batch_size: int, steps: int
) -> jax.Array:
  """The batches of one epoch, i32[steps, batch_size].

  A fresh permutation of the members, cut into full batches; the last one is
  filled up from the start of the same permutation. So every example is met
  once, a few of the last batch's twice, and all batches weigh the same.
  """
  order = jax.random.permutation(key, members)
  position = jnp.arange(steps * batch_size) % members.shape[0]
  return order[position].reshape(steps, batch_size)


def answers(logits: jax.Array, labels: jax.Array) -> Answers:
  """Judges logits [B,K] by labels i32[B], or by logits of soft ones [B,K]."""
  if jnp.issubdtype(labels.dtype, jnp.floating):
    losses = optax.softmax_cross_entropy(logits, jax.nn.softmax(labels))
    labels = jnp.argmax(labels, axis=-1)
  else:
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  return Answers(losses, jnp.argmax(logits, axis=-1) == labels)


def loss(
  engine: Engine,
  params: Any,
  batch_stats: Any,
  images: jax.Array,
  labels: jax.Array,
) -> tuple[jax.Array, tuple[Any, Answers]]:
  """Mean cross-entropy of one batch in training mode.

  Args:
    engine: network and normalisation.
    params: of one model.
    batch_stats: its running statistics, {} without.
    images: u8[B,H,W,C], or floating as the network reads them.
    labels: i32[B], or logits of soft labels, floating [B,K].

  Returns:
    (loss, (new batch_stats, answers)).
  """
  logits, updated = engine.model.apply(
    {"params": params, "batch_stats": batch_stats},
    engine.normalise(images),
    True,
    mutable=["batch_stats"],
  )
  found = answers(logits, labels)
  return found.loss.mean(), (updated.get("batch_stats", {}), found)


def make_step(
  engine: Engine,
  optimizer: optax.GradientTransformation,
  gather: Gather | None = None,
) -> Callable[[ModelState, jax.Array, Own, Pool], tuple[ModelState, Answers]]:
  """One update: `step(state, index i32[B], own, pool) -> (state, answers)`.

  Args:
    engine: network and recipe.
    optimizer: by the recipe.
    gather: takes a batch from the pool; by default with the recipe's shifts
      and flips.
  """
  recipe = engine.recipe
  gradient = jax.grad(partial(loss, engine), has_aux=True)

  def by_recipe(key: jax.Array, pool: jax.Array, index: jax.Array) -> jax.Array:
    return augmentation.gather_augmented(
      key, pool, index, recipe.shift, recipe.flip
    )

  def step(state: ModelState, index: jax.Array, own: Own, pool: Pool):
    key = jax.random.fold_in(stream(own.key, "augmentation"), state.step)
    images = (gather or by_recipe)(key, pool.images, index)
    gradients, (batch_stats, found) = gradient(
      state.params, state.batch_stats, images, pool.labels[index]
    )
    update, opt_state = optimizer.update(
      gradients, state.optimizer, state.params
    )
    if own.learning_rate is not None:  # it is the last factor of an update
      factor = own.learning_rate / recipe.learning_rate
      update = jax.tree.map(lambda u: factor * u, update)
    params = optax.apply_updates(state.params, update)
    return ModelState(state.step + 1, params, batch_stats, opt_state), found

  return step


def make_epoch(
  engine: Engine,
  optimizer: optax.GradientTransformation,
  steps: int,
  gather: Gather | None = None,
) -> Callable[[ModelState, Own, Pool], tuple[ModelState, Metrics]]:
  """`epoch(state, own, pool) -> (state, metrics)` of one model."""
  step = make_step(engine, optimizer, gather)

  def epoch(state: ModelState, own: Own, pool: Pool):
    key = jax.random.fold_in(stream(own.key, "order"), state.step // steps)
    batches = shuffled_batches(
      key, own.members, engine.recipe.batch_size, steps
    )
    state, found = lax.scan(
      lambda state, index: step(state, index, own, pool), state, batches
    )
    return state, mean(found)

  return epoch


def mean(found: Answers) -> Metrics:
  """The means over all answers of an epoch."""
  return Metrics(found.loss.mean(), found.correct.mean(dtype=jnp.float32))
