"""MTT, matching training trajectories, with its exact gradient.

From a random epoch of a random expert, N steps on the synthetic images are to
end where the expert was M epochs later. Source: Cazenavette et al., arXiv
2203.11932, section 3.2 and algorithm 1.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from syndata_jax.ensemble.epoch import Pool
from syndata_jax.keys import stream
from syndata_jax.paradigms.distillation.experts import Pair
from syndata_jax.paradigms.distillation.setup import Setup, Shadow, Step
from syndata_jax.paradigms.distillation.synthetic import (
  Distilled,
  Synthetic,
  descend,
  rule,
)
from syndata_jax.paradigms.distillation.trajectory import (
  Apply,
  Augment,
  inner_batches,
  trajectory_loss,
)

# (apply_fn, start, target, synthetic, batches, augment) -> (loss, gradient)
Gradient = Callable[..., tuple[jax.Array, Synthetic]]


def exact_gradient(
  apply_fn: Apply,
  start: Any,
  target: Any,
  synthetic: Synthetic,
  batches: jax.Array,
  augment: Augment | None = None,
) -> tuple[jax.Array, Synthetic]:
  """The loss and its gradient by images, soft labels and learning rate.

  Arguments are those of `trajectory_loss`. Hard labels have the gradient zero.
  """
  soft = jnp.issubdtype(synthetic.labels.dtype, jnp.floating)
  learned = synthetic if soft else synthetic._replace(labels=None)

  def loss(learned: Synthetic) -> jax.Array:
    return trajectory_loss(
      apply_fn,
      start,
      target,
      learned.images,
      learned.labels if soft else synthetic.labels,
      learned.learning_rate,
      batches,
      augment,
    )

  value, gradient = jax.value_and_grad(loss)(learned)
  if not soft:
    gradient = gradient._replace(labels=jnp.zeros_like(synthetic.labels))
  return value, gradient


def make(setup: Setup, gradient: Gradient = exact_gradient) -> Step:
  """The step of MTT: one expert's segment, one update.

  Args:
    setup: settings and tools.
    gradient: of the loss, or what is followed in its place.
  """
  options, network = setup.options, setup.network
  optimizer = rule(options, soft=bool(options.label_learning_rate))
  unravel = setup.unravel()

  def apply_fn(flat: jax.Array, images: jax.Array) -> jax.Array:
    return network.logits(unravel(flat), images)

  def step(
    state: Distilled, key: jax.Array, shadow: Shadow, pool: Pool, fed: Pair
  ):
    del shadow, pool
    size = state.synthetic.images.shape[0]
    batches = inner_batches(
      stream(key, "order"),
      size,
      min(options.synthetic_batch or size, size),
      options.inner_steps,
    )
    views = stream(key, "augmentation")
    value, found = gradient(
      apply_fn,
      fed.start,
      fed.target,
      state.synthetic,
      batches,
      partial(_varied, setup, views),
    )
    after = descend(optimizer, state, found)
    if options.threshold:
      # Nothing changes, momenta included.
      kept = value <= options.threshold
      after = jax.tree.map(lambda a, b: jnp.where(kept, a, b), after, state)
    return after, value

  return step


def _varied(
  setup: Setup, key: jax.Array, number: jax.Array, images: jax.Array
) -> jax.Array:
  return setup.vary(jax.random.fold_in(key, number), images)
