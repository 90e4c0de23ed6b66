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


class Pool(NamedTuple):
  """What all models share."""

  images: jax.Array  # u8[N,H,W,C]
  labels: jax.Array  # i32[N]


class Metrics(NamedTuple):
  """Means over the examples of one epoch, taken before each update."""

  loss: jax.Array  # f32[], cross-entropy in nats
  accuracy: jax.Array  # f32[], in [0, 1], in training mode


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


def loss(
  engine: Engine,
  params: Any,
  batch_stats: Any,
  images: jax.Array,
  labels: jax.Array,
) -> tuple[jax.Array, tuple[Any, Metrics]]:
  """Mean cross-entropy of one batch in training mode.

  Args:
    engine: network and normalisation.
    params: of one model.
    batch_stats: its running statistics, {} without.
    images: u8[B,H,W,C].
    labels: i32[B].

  Returns:
    (loss, (new batch_stats, metrics)).
  """
  logits, updated = engine.model.apply(
    {"params": params, "batch_stats": batch_stats},
    engine.normalise(images),
    True,
    mutable=["batch_stats"],
  )
  losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  correct = jnp.argmax(logits, axis=-1) == labels
  metrics = Metrics(losses.mean(), correct.mean(dtype=jnp.float32))
  return metrics.loss, (updated.get("batch_stats", {}), metrics)


def make_epoch(
  engine: Engine, optimizer: optax.GradientTransformation, steps: int
) -> Callable[[ModelState, Own, Pool], tuple[ModelState, Metrics]]:
  """`epoch(state, own, pool) -> (state, metrics)` of one model."""
  recipe = engine.recipe
  gradient = jax.grad(partial(loss, engine), has_aux=True)

  def step(state: ModelState, index: jax.Array, own: Own, pool: Pool):
    key = jax.random.fold_in(stream(own.key, "augmentation"), state.step)
    images = augmentation.gather_augmented(
      key, pool.images, index, recipe.shift, recipe.flip
    )
    gradients, (batch_stats, metrics) = gradient(
      state.params, state.batch_stats, images, pool.labels[index]
    )
    update, opt_state = optimizer.update(
      gradients, state.optimizer, state.params
    )
    params = optax.apply_updates(state.params, update)
    return ModelState(state.step + 1, params, batch_stats, opt_state), metrics

  def epoch(state: ModelState, own: Own, pool: Pool):
    key = jax.random.fold_in(stream(own.key, "order"), state.step // steps)
    batches = shuffled_batches(key, own.members, recipe.batch_size, steps)
    state, metrics = lax.scan(
      lambda state, index: step(state, index, own, pool), state, batches
    )
    return state, jax.tree.map(jnp.mean, metrics)

  return epoch
