"""A generator that is tuned under DP-SGD first, and voted on after.

Adapters (LoRA) beside a public diffusion model learn from the private images
by DP-SGD; with them the model is an API like any other. Tuning and votes read
the same records, so the ledger composes both: the losses of the subsampled
Gaussian mechanism with those of the votes, never the epsilons.
Sources: Abadi et al., arXiv 1607.00133 (DP-SGD); Dockhorn et al.,
"Differentially Private Diffusion Models", arXiv 2210.09929 (several draws of
noise for each example before clipping).
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from syndata_jax import keys, validate
from syndata_jax.diffusion import lora
from syndata_jax.diffusion.base import Base, refuse_private
from syndata_jax.diffusion.model import (
  Apply,
  applied,
  hidden,
  loss,
  make_network,
  signed,
)
from syndata_jax.errors import UserError, prefixed
from syndata_jax.models.unet import UNet
from syndata_jax.privacy import Ledger, Release, SubsampledGaussian, calibrated
from syndata_jax.privacy.clipping import clipped_gradient


@dataclasses.dataclass(frozen=True)
class TuningOptions:
  """How adapters are tuned.

  Attributes:
    tuning_epsilon: of the tuning alone, in nats: its noise is solved for; 0 to
      give the noise instead.
    tuning_noise_multiplier: standard deviation of the noise over the clip norm;
      0 to give epsilon instead.
    tuning_steps: of DP-SGD.
    tuning_batch: expected examples of a step.
    tuning_clip_norm: the largest L2 norm of one example's gradient.
    tuning_learning_rate: of Adam, constant.
    tuning_rank: of the adapters.
    tuning_draws: of noise for each example, whose gradients are averaged before
      clipping.
    tuning_average: decay of the average of the adapters that is kept; it starts
      at (1 + t) / (10 + t). 0 for the last ones.
    tuning_microbatch: examples whose gradients are held at once.

  Raises:
    UserError: a field that is not as above.
  """

  tuning_epsilon: float = 0.0
  tuning_noise_multiplier: float = 0.0
  tuning_steps: int = 500
  tuning_batch: int = 128
  tuning_clip_norm: float = 1.0
  tuning_learning_rate: float = 1e-3
  tuning_rank: int = 4
  tuning_draws: int = 8
  tuning_average: float = 0.99
  tuning_microbatch: int = 32

  def __post_init__(self) -> None:
    if (self.tuning_epsilon > 0) == (self.tuning_noise_multiplier > 0):
      raise UserError(
        f"tuning_epsilon={self.tuning_epsilon:g},"
        f" tuning_noise_multiplier={self.tuning_noise_multiplier:g}: set one of"
        " them above 0 and the other to 0"
      )
    validate.whole(
      1,
      tuning_steps=self.tuning_steps,
      tuning_batch=self.tuning_batch,
      tuning_rank=self.tuning_rank,
      tuning_draws=self.tuning_draws,
      tuning_microbatch=self.tuning_microbatch,
    )
    validate.positive(
      tuning_clip_norm=self.tuning_clip_norm,
      tuning_learning_rate=self.tuning_learning_rate,
    )
    validate.within(0, 1, "[)", tuning_average=self.tuning_average)


class Tuned(NamedTuple):
  """Adapters in training."""

  step: jax.Array  # i32[], updates made
  adapters: Any  # f32 tree, see `lora.init`
  average: Any  # of them, what is kept
  optimizer: Any  # state of the optax transformation


def mechanism(
  options: TuningOptions, num_examples: int, delta: float
) -> SubsampledGaussian:
  """Sampling, clipping, noise and accounting of the tuning.

  Args:
    options: with the noise, or the epsilon to solve it for.
    num_examples: n, private images.
    delta: of the guarantee, at most 1/n.

  Raises:
    UserError: a setting that the mechanism does not allow.
  """
  fields: dict[str, Any] = {
    "num_examples": num_examples,
    "expected_batch": options.tuning_batch,
    "clip_norm": options.tuning_clip_norm,
    "steps": options.tuning_steps,
    "delta": delta,
  }
  with prefixed("tuning"):
    if options.tuning_epsilon > 0:
      return calibrated(options.tuning_epsilon, **fields)
    noise = options.tuning_noise_multiplier
    return SubsampledGaussian(noise_multiplier=noise, **fields)


def release(mechanism: SubsampledGaussian, options: TuningOptions) -> Release:
  """What the ledger needs to know of the adapters."""
  return dataclasses.replace(
    mechanism.release(),
    mechanism=(
      f"DP-SGD of LoRA adapters of rank {options.tuning_rank} beside a public"
      " diffusion model, Poisson-subsampled Gaussian, every step released"
    ),
    kind="generator",
  )


def paid(
  ledger: Ledger,
  base: Base,
  images: np.ndarray,
  labels: np.ndarray,
  mechanism: SubsampledGaussian,
  key: jax.Array,
  options: TuningOptions,
) -> tuple[Any, Ledger]:
  """Tunes what a ledger has room for.

  The same key gives the same adapters, so a tuning that was cut short and is
  begun again releases nothing new.

  Args:
    ledger: of what was released before.
    base: see `tune`, as are the others.
    images: u8[N,H,W,C].
    labels: i32[N].
    mechanism: of this tuning.
    key: root of every draw.
    options: of this tuning.

  Returns:
    (adapters, the ledger with their release).

  Raises:
    UserError: the budget does not allow it: nothing is computed then. Or see
      `tune`.
  """
  after = ledger.add(release(mechanism, options))
  return tune(base, images, labels, mechanism, key, options), after


def tune(
  base: Base,
  images: np.ndarray,
  labels: np.ndarray,
  mechanism: SubsampledGaussian,
  key: jax.Array,
  options: TuningOptions,
  on_step: Callable[[int], None] = lambda step: None,
) -> Any:
  """Adapters that learned from private images under DP-SGD.

  Args:
    base: public; it stays as it is.
    images: u8[N,H,W,C], private.
    labels: i32[N], private, classes of the base.
    mechanism: of N examples; it draws, clips and adds the noise. Its release is
      `release`.
    key: root of every draw, secret like the images.
    options: of the tuning.
    on_step: is told how many steps are done.

  Returns:
    A tree like `lora.init`'s, f32.

  Raises:
    UserError: a base of other images or classes, or one that has seen some of
      these; another number of images than accounted for; adapters that are no
      longer finite.
  """
  _check(base, images, labels, mechanism)
  module = make_network(base.options, base.image_shape, base.num_classes)
  fresh = lora.init(
    keys.stream(key, "adapters"), base.params, options.tuning_rank
  )
  moments = _rule(options).init(fresh)
  state = Tuned(jnp.zeros((), jnp.int32), fresh, fresh, moments)
  params, pixels = jax.tree.map(jnp.asarray, (base.params, images))
  classes = jnp.asarray(labels, jnp.int32)
  for number in range(mechanism.steps):
    state = _step(
      module,
      base.options.label_drop,
      mechanism,
      options,
      state,
      keys.stream(key, "hybrid"),
      params,
      pixels,
      classes,
    )
    on_step(number + 1)
  finished = jax.device_get(state.average)
  if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(finished)):
    raise UserError(
      f"tuning_learning_rate={options.tuning_learning_rate}: the adapters are"
      " no longer finite: must be smaller"
    )
  return finished


def _rule(options: TuningOptions) -> optax.GradientTransformation:
  return optax.adam(options.tuning_learning_rate)


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _step(
  module: UNet,
  label_drop: float,
  mechanism: SubsampledGaussian,
  options: TuningOptions,
  state: Tuned,
  key: jax.Array,
  params: Any,
  images: jax.Array,
  labels: jax.Array,
) -> Tuned:
  """One step of DP-SGD.

  Args:
    module: the network.
    label_drop: share of hidden labels.
    mechanism: sampler, clip norm, noise and divisor.
    options: of the tuning.
    state: before the step.
    key: of all steps.
    params: of the base.
    images: u8[N,H,W,C].
    labels: i32[N].
  """
  now = jax.random.fold_in(key, state.step)
  microbatch = min(options.tuning_microbatch, mechanism.batch_size())
  index, padding = mechanism.sample(now, microbatch)
  # Of the example, wherever it stands in the batch.
  draws = jax.vmap(partial(jax.random.fold_in, keys.stream(now, "draws")))(
    index
  )

  def add(number: jax.Array, total: Any) -> Any:
    cut = lambda a: lax.dynamic_slice_in_dim(a, number * microbatch, microbatch)
    rows = cut(index)
    part = clipped_sum(
      applied(module, params),
      state.adapters,
      (images[rows], cut(draws)),
      labels[rows],
      ~cut(padding),
      partial(hidden, share=label_drop, no_class=module.num_classes),
      mechanism.clip_norm,
      options.tuning_draws,
    )
    return jax.tree.map(jnp.add, total, part)

  # Padding stands at the end; parts of nothing else are left out.
  count = -(-(~padding).sum() // microbatch)
  zeros = jax.tree.map(jnp.zeros_like, state.adapters)
  noisy = mechanism.noisy_mean(now, lax.fori_loop(0, count, add, zeros))
  update, moments = _rule(options).update(
    noisy, state.optimizer, state.adapters
  )
  adapters = optax.apply_updates(state.adapters, update)
  decay = jnp.minimum(
    options.tuning_average, (1 + state.step) / (10 + state.step)
  )
  average = jax.tree.map(
    lambda old, new: decay * old + (1 - decay) * new, state.average, adapters
  )
  return Tuned(state.step + 1, adapters, average, moments)


def clipped_sum(
  apply: Apply,
  adapters: Any,
  examples: tuple[jax.Array, jax.Array],
  labels: jax.Array,
  valid: jax.Array,
  hide: Callable[[jax.Array, jax.Array], jax.Array],
  clip_norm: float,
  draws: int,
) -> Any:
  """Sum of clipped gradients of the diffusion's loss, by the adapters.

  Args:
    apply: see `diffusion.model.applied`.
    adapters: what is differentiated by.
    examples: pixels u8[B,H,W,C], and of each its own key[B].
    labels: i32[B].
    valid: bool[B]; the others count as nothing.
    hide: (key, labels i32[draws]) -> labels, some of them hidden.
    clip_norm: C, of the gradient of one example's mean loss over its draws.
    draws: of noise and of hidden labels, for each example.
  """

  def mean_loss(
    adapters: Any, example: tuple[jax.Array, jax.Array], label: jax.Array
  ) -> jax.Array:
    pixels, key = example
    copies = jnp.broadcast_to(signed(pixels), (draws, *pixels.shape))
    names = hide(key, jnp.broadcast_to(label, (draws,)))
    return loss(apply, adapters, key, copies, names).mean()

  total, _ = clipped_gradient(
    mean_loss, adapters, examples, labels, clip_norm, valid
  )
  return total


def _check(
  base: Base,
  images: np.ndarray,
  labels: np.ndarray,
  mechanism: SubsampledGaussian,
) -> None:
  if len(images) != mechanism.num_examples:
    raise UserError(
      f"images: {len(images)}: must be {mechanism.num_examples}, the number"
      " that the privacy accounting covers"
    )
  if images.shape[1:] != base.image_shape:
    raise UserError(
      f"base: makes images of {base.image_shape}: must be {images.shape[1:]}"
    )
  if labels.min() < 0 or labels.max() >= base.num_classes:
    raise UserError(
      f"base: has {base.num_classes} classes: must have those of the labels"
    )
  with prefixed("base"):
    refuse_private(base, images)
