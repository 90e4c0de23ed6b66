"""Matching the end of a training run on synthetic images to an expert's.

Source: Cazenavette et al., arXiv 2203.11932, section 3.2.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from syndata_jax.ensemble.epoch import answers

# (inner step, images[b]) -> images[b]
Augment = Callable[[jax.Array, jax.Array], jax.Array]
Apply = Callable[[Any, jax.Array], jax.Array]


def trajectory_loss(
  apply_fn: Apply,
  start: Any,
  target: Any,
  images: jax.Array,
  labels: jax.Array,
  lr: jax.Array,
  batches: jax.Array,
  augment: Augment | None = None,
) -> jax.Array:
  """Distance of T SGD steps' end to the target, over that of the start to it.

  ||theta_T - target||^2 / ||start - target||^2. Differentiation through all
  steps is exact. It computes each step again on the way back, so memory grows
  with T by the parameters and not by the activations.

  Args:
    apply_fn: `(params, images[b,H,W,C]) -> logits[b,K]`.
    start: parameters, any pytree.
    target: parameters, the same tree.
    images: f32[S,H,W,C].
    labels: i32[S], or logits of soft labels f32[S,K].
    lr: f32[], of the steps.
    batches: i32[T,b]; row t has the indices of step t.
    augment: applied to the images of each step.

  Returns:
    A scalar, differentiable in images, labels (if floating) and lr.
  """
  step = inner_gradient(apply_fn, augment)
  images, labels = jnp.asarray(images), jnp.asarray(labels)

  # Static residuals of a step are its parameters; the rest is made again.
  @jax.checkpoint
  def descend(params: Any, given):
    found = step(params, images, labels, *given)
    return jax.tree.map(lambda p, g: p - lr * g, params, found), None

  numbers = jnp.arange(batches.shape[0])
  end, _ = lax.scan(descend, start, (numbers, batches))
  distance = lambda a, b: optax.tree.norm(optax.tree.sub(a, b), squared=True)
  return distance(end, target) / distance(start, target)


def inner_gradient(apply_fn: Apply, augment: Augment | None = None) -> Callable:
  """The gradient of one SGD step on synthetic images.

  Returns:
    `(params, images[S], labels[S], number of the step, index i32[b]) ->` the
    gradient of the mean cross-entropy on the batch by the parameters.
  """

  def loss(params, images, labels, number, index):
    batch = images[index]
    if augment is not None:
      batch = augment(number, batch)
    return answers(apply_fn(params, batch), labels[index]).loss.mean()

  return jax.grad(loss)


def inner_batches(
  key: jax.Array, size: int, batch: int, steps: int
) -> jax.Array:
  """The batches of T steps, i32[T,b].

  A random permutation of all images is cut into batches, the last of them
  filled up from its start; another one follows when it is used up.
  """
  each = -(-size // batch)
  passes = -(-steps // each)

  def one(key: jax.Array) -> jax.Array:
    order = jax.random.permutation(key, size)
    return order[jnp.arange(each * batch) % size].reshape(each, batch)

  found = lax.map(one, jax.random.split(key, passes))
  return found.reshape(-1, batch)[:steps]
