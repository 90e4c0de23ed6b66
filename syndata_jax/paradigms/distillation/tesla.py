"""TESLA: trajectory matching in constant memory, by another gradient.

The end of the inner steps is start - lr * G with G the sum of their
gradients, so the squared distance is a polynomial in G. Each step's gradient
is then differentiated with its own parameters held constant: what an image
changes in later steps through the parameters is dropped. It is not the
gradient of MTT. Source: Cui et al., arXiv 2211.10586, section 3.2.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from syndata_jax.paradigms.distillation import mtt
from syndata_jax.paradigms.distillation.methods import Method
from syndata_jax.paradigms.distillation.mtt import (
  Apply,
  Augment,
  inner_gradient,
)
from syndata_jax.paradigms.distillation.setup import Setup, Step
from syndata_jax.paradigms.distillation.synthetic import Synthetic


def tesla_gradient(
  apply_fn: Apply,
  start: Any,
  target: Any,
  synthetic: Synthetic,
  batches: jax.Array,
  augment: Augment | None = None,
) -> tuple[jax.Array, Synthetic]:
  """The loss, and TESLA's gradient by images, soft labels and learning rate.

  Two passes over the same steps: the first sums the gradients; the second
  takes the steps again, each with its contribution to the image gradient.
  Neither keeps anything of a step, so memory does not depend on T.

  Args:
    apply_fn: as all others those of `mtt.trajectory_loss`.
    start: parameters.
    target: parameters.
    synthetic: images, labels and learning rate.
    batches: i32[T,b].
    augment: the same draws in both passes.

  Returns:
    (loss, gradient); hard labels have the gradient zero.
  """
  rate, tree = synthetic.learning_rate, optax.tree
  step = inner_gradient(apply_fn, augment)
  numbered_batches = jnp.arange(batches.shape[0]), batches
  soft = jnp.issubdtype(synthetic.labels.dtype, jnp.floating)

  def forward(
    carry: tuple[Any, Any], numbered: tuple[jax.Array, jax.Array]
  ) -> tuple[tuple[Any, Any], None]:
    params, total = carry
    gradients = step(params, synthetic.images, synthetic.labels, *numbered)
    params = tree.add_scale(params, -rate, gradients)
    return (params, tree.add(total, gradients)), None

  (end, total), _ = lax.scan(
    forward, (start, tree.zeros_like(start)), numbered_batches
  )
  missed = tree.sub(end, target)
  scale = tree.norm(tree.sub(start, target), squared=True)
  # end = start - lr * G: the distance by the gradient of any step.
  weight = tree.scale(-2 * rate / scale, missed)

  def backward(
    carry: tuple[Any, Any], numbered: tuple[jax.Array, jax.Array]
  ) -> tuple[tuple[Any, Any], None]:
    params, sums = carry

    def gradient(images: jax.Array, labels: jax.Array | None) -> Any:
      return step(
        params, images, labels if soft else synthetic.labels, *numbered
      )

    labels = synthetic.labels if soft else None
    gradients, pull = jax.vjp(gradient, synthetic.images, labels)
    sums = tree.add(sums, pull(weight))
    return (tree.add_scale(params, -rate, gradients), sums), None

  images, labels = tree.zeros_like(tuple(synthetic[:2]))
  (_, (images, by_label)), _ = lax.scan(
    backward, (start, (images, labels if soft else None)), numbered_batches
  )
  by_rate = -2 * tree.vdot(total, missed) / scale
  loss = tree.norm(missed, squared=True) / scale
  return loss, Synthetic(images, by_label if soft else labels, by_rate)


def make(setup: Setup) -> Step:
  """The step of MTT along `tesla_gradient`."""
  return mtt.make(setup, tesla_gradient)


METHOD = Method(make, follows_experts=True)
