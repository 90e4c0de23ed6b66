"""The synthetic set of one model, and how a gradient changes it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from syndata_jax.paradigms.distillation.options import Options


class Synthetic(NamedTuple):
  """What is optimised and released: images, labels ordered by class, a rate."""

  images: Any  # f32[S,H,W,C], as the network reads them, never clipped
  labels: Any  # i32[S], or f32[S,K], logits of soft labels
  learning_rate: Any  # f32[], of training on them


class DistillationState(NamedTuple):
  """One model's distillation under way."""

  iteration: jax.Array  # i32[], those done
  synthetic: Synthetic
  optimizer: Any  # state of `rule`


def rule(options: Options, soft: bool) -> optax.GradientTransformation:
  """SGD with momentum for each part; a part that is not learned stays.

  Args:
    options: learning rates, and whether that of the networks is learned.
    soft: whether labels are logits, and learned.
  """
  return optax.multi_transform(
    {
      "images": optax.sgd(options.image_learning_rate, momentum=0.5),
      "rate": optax.sgd(options.learning_rate_rate, momentum=0.5),
      "labels": optax.sgd(options.label_learning_rate, momentum=0.9),
      "fixed": optax.set_to_zero(),
    },
    Synthetic(
      "images",
      "labels" if soft else "fixed",
      "rate" if options.follows_experts else "fixed",
    ),
  )


def descend(
  optimizer: optax.GradientTransformation,
  state: DistillationState,
  gradient: Synthetic,
) -> DistillationState:
  """One update of the set; `gradient` is zero where nothing is learned."""
  update, momentum = optimizer.update(
    gradient, state.optimizer, state.synthetic
  )
  changed = optax.apply_updates(state.synthetic, update)
  return DistillationState(state.iteration, changed, momentum)


def along_images(synthetic: Synthetic, gradient: jax.Array) -> Synthetic:
  """A gradient with respect to the images alone."""
  return jax.tree.map(jnp.zeros_like, synthetic)._replace(images=gradient)
