"""The class-conditional diffusion model: network, loss, learner, denoiser.

Trained from scratch, from a base in all weights, or as adapters (LoRA) beside
a base that all models of the engine share.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from syndata_jax import identity, validate
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.diffusion import edm, lora
from syndata_jax.diffusion.sampler import Denoise, guided
from syndata_jax.ensemble import Learner, Own, Pool, data, make_epoch
from syndata_jax.ensemble.average import moved
from syndata_jax.errors import UserError
from syndata_jax.keys import stream
from syndata_jax.models import unet

# (params, x [B,H,W,C], noise [B], labels i32[B]) -> f32[B,H,W,C]
Apply = Callable[[Any, jax.Array, jax.Array, jax.Array], jax.Array]
# Of the updates, those in which the learning rate grows to its peak.
_WARMUP = 0.05


@dataclasses.dataclass(frozen=True)
class DiffusionOptions:
  """The network, and how it is trained.

  Attributes:
    width: channels of the first level of the U-Net.
    multipliers: of the width, one for each level.
    blocks: residual blocks of each level.
    attention: heights of feature maps with self-attention.
    label_drop: share of examples whose label is hidden, for guidance.
    diffusion_epochs: passes over the data.
    diffusion_batch: examples a step.
    diffusion_learning_rate: of Adam, the peak; 5% of the updates lead up to it,
      a cosine from there to zero.
    diffusion_ema: decay of the average of the weights, which is what samples.
  """

  width: int = 32
  multipliers: tuple[int, ...] = (1, 2)
  blocks: int = 1
  attention: tuple[int, ...] = (7, 8)
  label_drop: float = 0.1
  diffusion_epochs: int = 100
  diffusion_batch: int = 128
  diffusion_learning_rate: float = 1e-3
  diffusion_ema: float = 0.999

  def __post_init__(self) -> None:
    for name in ("multipliers", "attention"):  # lists, where JSON held them
      object.__setattr__(self, name, tuple(getattr(self, name)))
    validate.within(0, 1, "[)", label_drop=self.label_drop)
    validate.within(0, 1, "[)", diffusion_ema=self.diffusion_ema)
    validate.positive(
      diffusion_epochs=self.diffusion_epochs,
      diffusion_batch=self.diffusion_batch,
      diffusion_learning_rate=self.diffusion_learning_rate,
    )


class DiffusionState(NamedTuple):
  """One model in training."""

  step: jax.Array  # i32[], updates made
  params: Any  # f32 pytree: of the network, or adapters
  average: Any  # of the same, what is released
  optimizer: Any  # state of the optax transformation


def make_network(
  options: DiffusionOptions,
  image_shape: tuple[int, int, int],
  num_classes: int,
  dtype: jnp.dtype = jnp.float32,
  lowering: str = "auto",
) -> unet.UNet:
  """The U-Net of the options; see `unet.make`.

  Args:
    options: its sizes.
    image_shape: (H, W, C).
    num_classes: K.
    dtype: of the computation.
    lowering: of the convolutions.

  Raises:
    UserError: sizes that do not fit the images.
  """
  return unet.make(
    image_shape,
    num_classes,
    options.width,
    options.multipliers,
    options.blocks,
    options.attention,
    dtype,
    lowering,
  )


def init(
  key: jax.Array, module: unet.UNet, image_shape: tuple[int, int, int]
) -> Any:
  """Fresh parameters of the network."""
  one = jnp.zeros((1, *image_shape)), jnp.zeros(1), jnp.zeros(1, jnp.int32)
  # Compiled as a whole, for a network has many small draws.
  return jax.jit(module.init)(stream(key, "init"), *one)["params"]


def applied(module: unet.UNet, base: Any = None) -> Apply:
  """The network as a function of what is trained.

  Args:
    module: the network.
    base: None, and its parameters are trained; or parameters that stay, and
      adapters are.
  """

  def apply(
    params: Any, x: jax.Array, noise: jax.Array, labels: jax.Array
  ) -> jax.Array:
    whole, adapters = (params, None) if base is None else (base, params)
    with lora.adapted(adapters):
      said: Any = module.apply({"params": whole}, x, noise, labels)
    return said

  return apply


def loss(
  network_apply: Apply,
  params: Any,
  key: jax.Array,
  images: jax.Array,
  labels: jax.Array,
) -> jax.Array:
  """EDM's weighted error of each denoised image, mean over pixels: f32[B].

  Args:
    network_apply: see `applied`.
    params: its first argument.
    key: of noise and its deviation.
    images: f32[B,H,W,C] in [-1, 1].
    labels: i32[B], some of them hidden; see `hidden`.
  """
  level, drawn = stream(key, "sigma"), stream(key, "noise")
  sigma = edm.training_sigma(level, labels.shape)
  noise = jax.random.normal(drawn, images.shape)
  noisy = images + sigma[:, None, None, None] * noise
  denoised = edm.precondition(
    lambda x, noise: network_apply(params, x, noise, labels), noisy, sigma
  )
  errors = ((denoised - images) ** 2).mean((1, 2, 3))
  return edm.loss_weight(sigma) * errors


def hidden(
  key: jax.Array, labels: jax.Array, share: float, no_class: int
) -> jax.Array:
  """Labels i32[B], some of them replaced by that of no class.

  Args:
    key: of the draw.
    labels: i32[B].
    share: that is hidden, in expectation.
    no_class: K.
  """
  chosen = jax.random.bernoulli(stream(key, "hidden"), share, labels.shape)
  return jnp.where(chosen, no_class, labels)


def optimizer(
  options: DiffusionOptions, updates: int
) -> optax.GradientTransformation:
  """Adam with the learning rate of the options.

  Args:
    options: its peak.
    updates: of the whole training.
  """
  warmup = max(1, round(_WARMUP * updates))
  peak = options.diffusion_learning_rate
  return optax.adam(
    optax.warmup_cosine_decay_schedule(
      peak / warmup, peak, warmup, max(updates, warmup + 1)
    )
  )


def learner(
  module: unet.UNet,
  options: DiffusionOptions,
  training_set: TrainingSet,
  steps: int = 0,
  base: Any = None,
  rank: int = 0,
  split: Callable[[jax.Array], jax.Array] = lambda index: index,
) -> Learner:
  """How one diffusion model learns; what it releases are averaged `params`.

  Args:
    module: the network.
    options: how it is trained.
    training_set: of all models; pixels u8, labels i32.
    steps: of an epoch, where it is to be shorter than the data, for a trial.
    base: parameters to begin at, NumPy arrays; None for fresh ones.
    rank: of adapters beside the base, which are then all that is trained and
      released; 0 to train all weights.
    split: is told the rows of a batch, i32[B], and may say where they are
      computed; see `ensemble.data_axis`.

  Raises:
    UserError: a batch larger than one model's data.
  """
  batch, size = options.diffusion_batch, training_set.size
  if batch > size:
    raise UserError(
      f"diffusion_batch={batch}: must not exceed the {size} examples of one"
      " model"
    )
  whole = -(-size // batch)
  steps = min(steps or whole, whole)
  rule = optimizer(options, options.diffusion_epochs * steps)
  shape = training_set.image_shape

  def begin(own: Own, pool: Pool) -> DiffusionState:
    if base is None:
      params = init(own.key, module, shape)
    elif rank:
      params = lora.init(stream(own.key, "init"), pool.shared, rank)
    else:
      params = jax.tree.map(jnp.asarray, pool.shared)
    zero = jnp.zeros((), jnp.int32)
    return DiffusionState(zero, params, params, rule.init(params))

  def step(
    state: DiffusionState, index: jax.Array, own: Own, pool: Pool
  ) -> tuple[DiffusionState, dict[str, jax.Array]]:
    key = jax.random.fold_in(stream(own.key, "diffusion"), state.step)
    index = split(index)
    pixels, labels, _ = data(own, pool)
    apply = applied(module, pool.shared if rank else None)
    named = hidden(key, labels[index], options.label_drop, module.num_classes)

    def mean_loss(params: Any) -> tuple[jax.Array, jax.Array]:
      losses = loss(apply, params, key, signed(pixels[index]), named)
      return losses.mean(), losses

    gradient, losses = jax.grad(mean_loss, has_aux=True)(state.params)
    update, moments = rule.update(gradient, state.optimizer, state.params)
    params = optax.apply_updates(state.params, update)
    average = moved(state.average, params, state.step, options.diffusion_ema)
    state = DiffusionState(state.step + 1, params, average, moments)
    return state, {"loss": losses}

  return Learner(
    num_epochs=options.diffusion_epochs,
    images=lambda epoch: steps * batch,
    init=begin,
    epoch=make_epoch(step, batch, steps),
    release=lambda state: {"params": state.average},
    shared=base,
    setting="diffusion_epochs",
    rate="diffusion_learning_rate",
    identity=_identity(module, options, base, rank),
  )


def denoiser(
  module: unet.UNet,
  params: Any,
  labels: jax.Array,
  guidance: float = 1.0,
  adapters: Any = None,
) -> Denoise:
  """What a sampler calls: `(x [B,H,W,C], sigma [B]) -> denoised`.

  Args:
    module: the network.
    params: its own.
    labels: i32[B], the class of each image.
    guidance: weight of the class; see `sampler.guided`.
    adapters: beside the parameters, None for none.
  """
  if adapters is None:
    apply, trained = applied(module), params
  else:
    apply, trained = applied(module, params), adapters

  def of_label(x: jax.Array, sigma: jax.Array, labels: jax.Array) -> jax.Array:
    return edm.precondition(
      lambda x, noise: apply(trained, x, noise, labels), x, sigma
    )

  return guided(of_label, labels, guidance, module.num_classes)


def signed(pixels: jax.Array) -> jax.Array:
  """u8 -> f32 in [-1, 1]."""
  return pixels.astype(jnp.float32) / 127.5 - 1


def unsigned(images: jax.Array) -> jax.Array:
  """[-1, 1] -> u8, rounded; the inverse of `signed`."""
  return jnp.round(jnp.clip((images + 1) * 127.5, 0, 255)).astype(jnp.uint8)


def _identity(
  module: unet.UNet, options: DiffusionOptions, base: Any, rank: int
) -> dict[str, Any]:
  """What decides a training, JSON-ready."""
  fields = {
    field.name: getattr(options, field.name)
    for field in dataclasses.fields(DiffusionOptions)
  }
  lists = {n: list(v) for n, v in fields.items() if isinstance(v, tuple)}
  return (
    fields
    | lists
    | {
      "precision": jnp.dtype(module.dtype).name,
      "base": None if base is None else identity.digest(*jax.tree.leaves(base)),
      "rank": rank,
    }
  )
