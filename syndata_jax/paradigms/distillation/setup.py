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
from syndata_jax.errors import UserError
from syndata_jax.keys import stream
from syndata_jax.paradigms.distillation import whitening
from syndata_jax.paradigms.distillation.augmentation import augment, parse
from syndata_jax.paradigms.distillation.options import Options
from syndata_jax.paradigms.distillation.synthetic import Distilled


class Network(NamedTuple):
  """The network that distils, as pure functions of its parameters."""

  init: Callable[[jax.Array], Any]  # key -> params
  logits: Callable[[Any, jax.Array], jax.Array]  # images[B] -> [B,K]
  embed: Callable[[Any, jax.Array], jax.Array]  # images[B] -> f32[B,D]


class Shadow(NamedTuple):
  """What belongs to one shadow model."""

  key: jax.Array
  by_class: jax.Array  # i32[K,n], rows of the pool; filled up with its first
  counts: jax.Array  # i32[K], how many of them count
  whitening: whitening.Whitening | None  # of one model


class Setup(NamedTuple):
  """Settings and tools of one distillation.

  Attributes:
    options: the settings.
    network: that distils.
    engine: mean and deviations of the pixels; layout.
    num_classes: K.
    real_batch: private images of each class in an update.
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
    """Those of the siamese augmentation."""
    return parse(self.options.augmentation)

  def read(
    self, images: jax.Array, by: whitening.Whitening | None
  ) -> jax.Array:
    """u8[...,H,W,C] -> f32, normalised, or whitened for one model."""
    if by is None:
      return self.engine._replace(dtype=jnp.dtype("float32")).normalise(images)
    return whitening.whiten(images, by)

  def unravel(self) -> Callable[[jax.Array], Any]:
    """Flat parameters f32[P] -> those that the network takes."""
    shapes = jax.eval_shape(self.network.init, jax.random.key(0))
    blank = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    return ravel_pytree(blank)[1]

  def vary(self, key: jax.Array, images: jax.Array) -> jax.Array:
    """Each image with an augmentation of its own parameters."""
    corners = self.options.method in ("datm", "mtt", "tesla")
    return augment(key, images, self.operations, False, corners)


# (state, key of the iteration, shadow, pool, what was fed) -> (state, loss)
Step = Callable[..., tuple[Distilled, jax.Array]]


def make_network(
  options: Options,
  image_shape: tuple[int, int, int],
  num_classes: int,
  lowering: str = "auto",
) -> Network:
  """The network of `distill_model`.

  Raises:
    UserError: no such network, or one with batch norm, whose running
      statistics no trajectory has.
  """
  model = models.create(
    options.distill_model,
    num_classes,
    **{"lowering": lowering} | options.distill_model_options,
  )
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

  def logits(params: Any, images: jax.Array) -> jax.Array:
    found: Any = model.apply({"params": params}, images, True)
    return found

  return Network(
    init=lambda key: model.init(stream(key, "init"), blank, False)["params"],
    logits=logits,
    embed=lambda params, images: models.outputs(
      model, {"params": params}, images
    )[0],
  )


def fresh_network(setup: Setup, key: jax.Array, state: Distilled) -> Any:
  """Parameters of a new random network.

  Constants made inside a program that is split over devices count as shared,
  and gradients by them would be summed over devices; added to a number of the
  model's own they are its own.
  """
  own = jnp.zeros_like(state.synthetic.learning_rate)
  return jax.tree.map(lambda p: p + own, setup.network.init(key))
