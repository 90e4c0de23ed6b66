"""What all distillation methods work with."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.flatten_util import ravel_pytree

from syndata_jax import models
from syndata_jax.data import ClassImages
from syndata_jax.ensemble import Engine
from syndata_jax.errors import UserError, prefixed
from syndata_jax.keys import stream
from syndata_jax.paradigms.distillation import methods, whitening
from syndata_jax.paradigms.distillation.options import Options
from syndata_jax.paradigms.distillation.siamese import augment, parse
from syndata_jax.paradigms.distillation.synthetic import (
  DistillationState,
  Synthetic,
)


class Network(NamedTuple):
  """The network that distils, as pure functions of its parameters."""

  init: Callable[[jax.Array], Any]  # key -> params
  logits: Callable[[Any, jax.Array], jax.Array]  # images[B] -> [B,K]
  embed: Callable[[Any, jax.Array], jax.Array]  # images[B] -> f32[B,D]


class Shadow(NamedTuple):
  """What the set of one shadow model is made from, beside the pool.

  `ensemble.Own` is what a network learns from: here no network is trained.
  """

  key: jax.Array  # all draws of its distillation come from here
  by_class: Any  # i32[K,n], its rows of the pool; filled up with its first
  counts: Any  # i32[K], how many of them count
  whitening: whitening.Whitening | None
  begin: Synthetic  # the set before the first iteration


class Setup(NamedTuple):
  """Settings and tools of one distillation.

  Attributes:
    options: the settings.
    network: that distils.
    engine: mean and deviations of the pixels; layout.
    num_classes: K.
    real_batch: places for private images of each class in an update.
    outside: public images to begin with, where they are asked for.
  """

  options: Options
  network: Network
  engine: Engine
  num_classes: int
  real_batch: int
  outside: ClassImages | None = None

  @property
  def operations(self) -> tuple[str, ...]:
    """Operations of the siamese augmentation."""
    return parse(self.options.augmentation)

  def read(
    self, images: jax.Array, linear_map: whitening.Whitening | None
  ) -> jax.Array:
    """u8[...,H,W,C] -> f32, normalised, or whitened by one model's map."""
    if linear_map is None:
      return self.engine._replace(dtype=jnp.dtype("float32")).normalise(images)
    return whitening.whiten(images, linear_map)

  def unravel(self) -> Callable[[jax.Array], Any]:
    """Flat parameters f32[P] -> those that the network takes."""
    shapes = jax.eval_shape(self.network.init, jax.random.key(0))
    blank = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    return ravel_pytree(blank)[1]

  def vary(self, key: jax.Array, images: jax.Array) -> jax.Array:
    """Each image with an augmentation of its own parameters.

    As in the training of experts and of networks that are to follow them:
    MTT's code has the corners of the image aligned while it is rotated.
    """
    return augment(key, images, self.operations, False, align_corners=True)


# (state, key of the iteration, shadow, pool, segment of an expert or None)
#   -> (state, loss)
Step = Callable[..., tuple[DistillationState, jax.Array]]


def make_network(
  options: Options,
  image_shape: tuple[int, int, int],
  num_classes: int,
  lowering: str = "auto",
) -> Network:
  """The network of `distill_model`.

  Args:
    options: its name and its own options.
    image_shape: (H, W, C).
    num_classes: K.
    lowering: how the convolution of many models is computed, unless its
      options say.

  Raises:
    UserError: no such network, one without the embedding that the method
      reads, or one with batch norm, whose running statistics no trajectory
      has.
  """
  name, method = options.distill_model, methods.find(options.method)
  with prefixed("distill_model"):
    wanted = models.accepted(name, lowering=lowering)
    model = models.create(
      name, num_classes, **wanted | options.distill_model_options
    )
    if method.reads_embedding:
      reader = f"method={options.method!r}"
      models.check_embedding(model, image_shape, reader)
  blank = jnp.zeros((1, *image_shape))
  shapes = jax.eval_shape(
    lambda key: model.init(key, blank, True), jax.random.key(0)
  )
  if "batch_stats" in shapes:
    raise UserError(
      f"distill_model={options.distill_model!r}: must be without batch norm,"
      " such as distill_model_options={'norm': 'instance'}"
    )
  return from_module(model, image_shape)


def from_module(model: nn.Module, image_shape: tuple[int, int, int]) -> Network:
  """A module without batch norm as pure functions."""
  blank = jnp.zeros((1, *image_shape))

  def init(key: jax.Array) -> Any:
    return model.init(stream(key, "init"), blank, False)["params"]

  def logits(params: Any, images: jax.Array) -> jax.Array:
    answer: Any = model.apply({"params": params}, images, True)
    return answer

  def embed(params: Any, images: jax.Array) -> jax.Array:
    return models.outputs(model, {"params": params}, images)[0]

  return Network(init, logits, embed)
