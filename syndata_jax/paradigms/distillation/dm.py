"""DM, distribution matching: equal mean embeddings in random networks.

Source: Zhao and Bilen, arXiv 2110.04181, section 3.2 and algorithm 1.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax import lax

from syndata_jax.ensemble import Pool
from syndata_jax.keys import stream
from syndata_jax.paradigms.distillation import private_batches
from syndata_jax.paradigms.distillation.methods import Method
from syndata_jax.paradigms.distillation.setup import Setup, Shadow, Step
from syndata_jax.paradigms.distillation.siamese import augment
from syndata_jax.paradigms.distillation.synthetic import (
  DistillationState,
  along_images,
  descend,
  rule,
)


def distribution_loss(
  embed_fn: Callable[[Any, jax.Array], jax.Array],
  params: Any,
  real: jax.Array,
  synthetic: jax.Array,
  counted: jax.Array | None = None,
) -> jax.Array:
  """Squared distance of the mean embeddings, summed over classes and features.

  Args:
    embed_fn: `(params, images[b,H,W,C]) -> f32[b,D]`.
    params: of the network; no gradient is wanted by them.
    real: f32[K,B,H,W,C], B private images of every class; held constant.
    synthetic: f32[K,S,H,W,C], S synthetic ones.
    counted: bool[K,B], which of the private images there are; None for all.

  Returns:
    A scalar.
  """

  def embedded(images: jax.Array) -> jax.Array:
    flat = embed_fn(params, images.reshape(-1, *images.shape[2:]))
    return flat.reshape(*images.shape[:2], -1)

  if counted is None:
    wanted = embedded(real).mean(axis=1)
  else:
    wanted = private_batches.mean(embedded(real), counted)
  wanted = lax.stop_gradient(wanted)
  return ((wanted - embedded(synthetic).mean(axis=1)) ** 2).sum()


def make(setup: Setup) -> Step:
  """The step of DM: one random network, one update."""
  optimizer = rule(setup.options, soft=False)

  def step(
    state: DistillationState,
    key: jax.Array,
    shadow: Shadow,
    pool: Pool,
    segment: None,
  ) -> tuple[DistillationState, jax.Array]:
    del segment
    params = setup.network.init(stream(key, "network"))
    views = stream(key, "augmentation")
    batch = private_batches.draw(setup, stream(key, "real"), shadow, pool)
    real = _siamese(setup, views, batch.images)

    def loss(images: jax.Array) -> jax.Array:
      synthetic = images.reshape(setup.num_classes, -1, *images.shape[1:])
      synthetic = _siamese(setup, views, synthetic)
      return distribution_loss(
        setup.network.embed, params, real, synthetic, batch.counted
      )

    value, gradient = jax.value_and_grad(loss)(state.synthetic.images)
    update = along_images(state.synthetic, gradient)
    return descend(optimizer, state, update), value

  return step


def _siamese(setup: Setup, key: jax.Array, images: jax.Array) -> jax.Array:
  """Augments [K,B,H,W,C]: one draw for each class, whatever B is."""
  keys = jax.random.split(key, setup.num_classes)

  def one(of_class: tuple[jax.Array, jax.Array]) -> jax.Array:
    key, batch = of_class
    return augment(key, batch, setup.operations, True)

  return lax.map(one, (keys, images))


METHOD = Method(
  make, reads_embedding=True, unread=("outer_steps", "inner_epochs")
)
