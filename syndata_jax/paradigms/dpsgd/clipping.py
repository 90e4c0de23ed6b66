"""Sums of clipped per-example gradients, two ways.

`clipped_gradient` forms every gradient and takes any loss. `clipped_sum` takes
the cross-entropy of any network, and forms none where that is faster and the
layers allow it.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax_privacy
import optax

from syndata_jax.ensemble.engine import Engine
from syndata_jax.errors import UserError
from syndata_jax.paradigms.dpsgd import ghost, tape
from syndata_jax.privacy.clipping import clipped_gradient

__all__ = ["METHODS", "Clipped", "choose", "clipped_gradient", "clipped_sum"]

METHODS = ("auto", "ghost", "formed")


class Clipped(NamedTuple):
  """What one batch gives, before noise."""

  total: Any  # sum of clipped gradients, a tree like the parameters
  norms: jax.Array  # f32[B], before clipping
  losses: jax.Array  # f32[B], means over views, in nats
  correct: jax.Array  # f32[B], share of views that are classified right


def clipped_sum(
  engine: Engine,
  params: Any,
  images: jax.Array,
  labels: jax.Array,
  valid: jax.Array,
  clip_norm: float,
  method: str = "auto",
) -> Clipped:
  """Sum of clipped gradients of the cross-entropy, by the faster way.

  An example's gradient is the mean over its views, clipped after (De et al.,
  arXiv 2204.13650, section 3.2).

  Args:
    engine: network and normalisation.
    params: of one model.
    images: u8[B,K,H,W,C], K views of each example.
    labels: i32[B].
    valid: bool[B]; the others are padding and count as nothing.
    clip_norm: above 0.
    method: one of `METHODS`; "auto" takes what `choose` says.

  Raises:
    UserError: "ghost" under a network whose norms it does not know.
  """
  image_shape = images.shape[2:]
  if method == "auto":
    method = choose(engine, params, image_shape)
  elif method == "ghost" and not _ghosts_are_right(engine, image_shape):
    raise UserError(
      f"method='ghost': norms of {type(engine.model).__name__} differ from"
      " those of formed gradients; must be 'formed' or 'auto'"
    )
  form = _formed if method == "formed" else _ghost
  return form(engine, params, images, labels, valid, clip_norm)


def choose(engine: Engine, params: Any, image_shape: tuple[int, ...]) -> str:
  """The way that touches less memory, and was measured to be faster.

  A formed gradient has as many numbers as the network; the other way reads
  once more what the layers read and wrote, K times over. So gradients are
  formed where the network has fewer parameters than its layers write for one
  image: wide images, few channels. They are formed too where a network of the
  user's has other layers than `tape.LAYERS`, or uses them otherwise.

  Args:
    engine: network and normalisation.
    params: of one model.
    image_shape: (H, W, C).
  """
  image = jax.ShapeDtypeStruct((1, *image_shape), engine.dtype)
  try:
    outputs = tape.outputs(engine.model, params, image)
    written = sum(math.prod(y.shape) for y in outputs.values())
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    ghost = size >= written and _ghosts_are_right(engine, image_shape)
  except UserError:
    ghost = False
  return "ghost" if ghost else "formed"


def _ghosts_are_right(engine: Engine, image_shape: tuple[int, ...]) -> bool:
  """Whether norms without gradients equal those of formed ones.

  Known layers do not make a network whose norms are known: it may mix the
  examples of a batch, or read a layer's weights elsewhere. Clipping by a wrong
  norm would void the guarantee without a word, so a network that is not of
  this package is tried on three random examples.

  Raises:
    UserError: see `tape.outputs`.
  """
  if type(engine.model).__module__.startswith("syndata_jax.models."):
    return True
  # A thread of its own computes, also while this one traces a program.
  with ThreadPoolExecutor(max_workers=1) as thread:
    return thread.submit(_trial, engine, image_shape).result()


def _trial(engine: Engine, image_shape: tuple[int, ...]) -> bool:
  keys = jax.random.split(jax.random.key(0), 3)
  images = jax.random.randint(keys[0], (3, 1, *image_shape), 0, 256, jnp.uint8)
  blank = jnp.zeros((1, *image_shape))
  # Away from the start, where biases and whole branches are zero.
  params = jax.tree.map(
    lambda leaf: leaf + 0.1 * jax.random.normal(keys[2], leaf.shape),
    engine.model.init(keys[1], blank, False)["params"],
  )
  batch = params, images, jnp.arange(3) % 2, jnp.ones(3, bool), 1.0
  formed = jax.jit(partial(_formed, engine))(*batch).norms
  try:
    ghosts = jax.jit(partial(_ghost, engine))(*batch).norms
  except jax.errors.UnexpectedTracerError:
    return False  # a layer inside a transformation, such as nn.remat
  tolerance = 1e-3 if engine.dtype == jnp.float32 else 0.05
  return bool(jnp.allclose(ghosts, formed, rtol=tolerance))


def _ghost(
  engine: Engine,
  params: Any,
  images: jax.Array,
  labels: jax.Array,
  valid: jax.Array,
  clip_norm: float,
) -> Clipped:
  views = images.shape[1]
  flat = engine.normalise(images.reshape(-1, *images.shape[2:]))

  def losses(
    logits: jax.Array,
  ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    each = _losses(logits.reshape(*images.shape[:2], -1), labels)
    return each[0].sum(), each

  entries, (loss, correct) = tape.record(engine.model, params, flat, losses)
  norms = jnp.sqrt(ghost.squared_norms(entries, params, views))
  weights = jnp.repeat(_weights(norms, valid, clip_norm), views)
  total = ghost.weighted_sum(entries, params, weights)
  return Clipped(total, norms, loss, correct)


def _formed(
  engine: Engine,
  params: Any,
  images: jax.Array,
  labels: jax.Array,
  valid: jax.Array,
  clip_norm: float,
) -> Clipped:
  def loss(
    params: Any, views: jax.Array, label: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    logits: Any = engine.model.apply(
      {"params": params}, engine.normalise(views), True
    )
    losses, correct = _losses(logits[None], label[None])
    return losses[0], correct[0]

  gradient = jax_privacy.clipped_grad(
    loss,
    has_aux=True,
    l2_clip_norm=clip_norm,
    batch_argnums=(1, 2),
    keep_batch_dim=False,
    return_values=True,
    return_grad_norms=True,
  )
  total, aux = gradient(params, images, labels, is_padding_example=~valid)
  return Clipped(total, aux.grad_norms, aux.values, aux.aux)


def _losses(
  logits: jax.Array, labels: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Means over views of logits [B,K,classes]: losses f32[B], correct f32[B]."""
  labels = jnp.broadcast_to(labels[:, None], logits.shape[:2])
  losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  correct = (logits.argmax(-1) == labels).astype(jnp.float32)
  return losses.mean(1), correct.mean(1)


def _weights(norms: jax.Array, valid: jax.Array, clip_norm: float) -> jax.Array:
  """What each gradient is multiplied with; not finite means zero."""
  scale = jnp.minimum(1.0, clip_norm / jnp.maximum(norms, 1e-30))
  return jnp.where(valid & jnp.isfinite(norms), scale, 0.0)
