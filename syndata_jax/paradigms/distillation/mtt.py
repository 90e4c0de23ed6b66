"""MTT, matching training trajectories, with its exact gradient.

From a random epoch of a random expert, N steps on the synthetic images are to
end where the expert was M epochs later. Source: Cazenavette et al., arXiv
2203.11932, section 3.2 and algorithm 1.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from syndata_jax.ensemble import Pool, answers, shuffled_batches
from syndata_jax.keys import stream
from syndata_jax.paradigms.distillation.methods import Method
from syndata_jax.paradigms.distillation.segments import Segment
from syndata_jax.paradigms.distillation.setup import Setup, Shadow, Step
from syndata_jax.paradigms.distillation.synthetic import (
  DistillationState,
  Synthetic,
  descend,
  rule,
)

# (inner step, images[b]) -> images[b]
Augment = Callable[[jax.Array, jax.Array], jax.Array]
# (params, images[b]) -> logits[b,K]
Apply = Callable[[Any, jax.Array], jax.Array]
# (apply_fn, start, target, synthetic, batches, augment) -> (loss, gradient)
Gradient = Callable[..., tuple[jax.Array, Synthetic]]


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
  def one_step(
    params: Any, numbered: tuple[jax.Array, jax.Array]
  ) -> tuple[Any, None]:
    gradients = step(params, images, labels, *numbered)
    return jax.tree.map(lambda p, g: p - lr * g, params, gradients), None

  numbers = jnp.arange(batches.shape[0])
  end, _ = lax.scan(one_step, start, (numbers, batches))
  distance = lambda a, b: optax.tree.norm(optax.tree.sub(a, b), squared=True)
  return distance(end, target) / distance(start, target)


def inner_gradient(
  apply_fn: Apply, augment: Augment | None = None
) -> Callable[..., Any]:
  """The gradient of one SGD step on synthetic images.

  Returns:
    `(params, images[S], labels[S], number of the step, index i32[b]) ->` the
    gradient of the mean cross-entropy on the batch by the parameters.
  """

  def loss(
    params: Any,
    images: jax.Array,
    labels: jax.Array,
    number: jax.Array,
    index: jax.Array,
  ) -> jax.Array:
    batch = images[index]
    if augment is not None:
      batch = augment(number, batch)
    return answers(apply_fn(params, batch), labels[index]).loss.mean()

  return jax.grad(loss)


def inner_batches(
  key: jax.Array, size: int, batch: int, steps: int
) -> jax.Array:
  """The batches of T inner steps, i32[T,b].

  They pass over all images in a random order, and in another one when these
  are used up.

  Args:
    key: of all T.
    size: S images.
    batch: b.
    steps: T.
  """
  each = -(-size // batch)
  keys = jax.random.split(key, -(-steps // each))
  one = lambda key: shuffled_batches(key, jnp.arange(size), batch, each)
  return lax.map(one, keys).reshape(-1, batch)[:steps]


def exact_gradient(
  apply_fn: Apply,
  start: Any,
  target: Any,
  synthetic: Synthetic,
  batches: jax.Array,
  augment: Augment | None = None,
) -> tuple[jax.Array, Synthetic]:
  """The loss and its gradient by images, soft labels and learning rate.

  Args:
    apply_fn: as all others those of `trajectory_loss`.
    start: parameters.
    target: parameters.
    synthetic: images, labels and learning rate.
    batches: i32[T,b].
    augment: applied to the images of each step.

  Returns:
    (loss, gradient); hard labels have the gradient zero.
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
    state: DistillationState,
    key: jax.Array,
    shadow: Shadow,
    pool: Pool,
    segment: Segment,
  ) -> tuple[DistillationState, jax.Array]:
    del shadow, pool
    size = state.synthetic.images.shape[0]
    batches = inner_batches(
      stream(key, "order"),
      size,
      min(options.synthetic_batch or size, size),
      options.inner_steps,
    )
    views = stream(key, "augmentation")
    varied = lambda number, images: setup.vary(
      jax.random.fold_in(views, number), images
    )
    value, update = gradient(
      apply_fn,
      segment.start,
      segment.target,
      state.synthetic,
      batches,
      varied,
    )
    after = descend(optimizer, state, update)
    if options.threshold:
      # Nothing changes, momenta included.
      below = value <= options.threshold
      after = jax.tree.map(lambda a, b: jnp.where(below, a, b), after, state)
    return after, value

  return step


METHOD = Method(make, follows_experts=True)
