"""LoRA fine-tuning of one Stable Diffusion for each shadow model.

The loss is that of Rombach et al. (arXiv 2112.10752, equation 3) on latents of
the enlarged private images under the prompt of their class, weighted as by Hang
et al. (min-SNR, arXiv 2303.09556). The text encoder and the autoencoder stay
frozen. A round is a few steps of one model, and its draws are NumPy's: a killed
run continues to the same bits where torch computes them twice.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from syndata_jax import keys
from syndata_jax.data.outside import fit
from syndata_jax.data.training_set import Private
from syndata_jax.diffusion.pipeline import embed, resolution
from syndata_jax.ensemble import HostRounds
from syndata_jax.paradigms.stable_diffusion import adapters as lora
from syndata_jax.paradigms.stable_diffusion.options import Options

STAGE = "fine_tuning"
# Of a round: seconds to minutes, so that a kill loses little.
_STEPS = 50
# Largest norm of a gradient, as in the scripts of diffusers.
_LARGEST = 1.0


class Tools(NamedTuple):
  """What fine-tuning and sampling share."""

  options: Options
  pipeline: Any  # of diffusers, with adapters in its UNet
  prompts: Any  # torch[K,T,D], the embedded prompts of the classes
  no_prompt: Any  # torch[1,T,D]


class State(NamedTuple):
  """Adapters of all models, and the moments of the one in training."""

  adapters: lora.Adapters  # f32[M,...]
  first: lora.Adapters  # f32[...], of AdamW
  second: lora.Adapters


class Batch(NamedTuple):
  """One step's data and draws."""

  pixels: np.ndarray  # f32[B,3,R,R] in [-1, 1]
  labels: np.ndarray  # i32[B]
  posterior: np.ndarray  # normal f32[B,4,R/8,R/8], of the autoencoder
  noise: np.ndarray  # normal, of the same shape
  level: np.ndarray  # i64[B], of the noise


def make_tools(options: Options, pipeline: Any, num_classes: int) -> Tools:
  """Embeds the prompts, and attaches the adapters."""
  lora.attach(pipeline.unet, options.rank, options.alpha)
  return Tools(
    options, pipeline, *embed(pipeline, options.prompts(num_classes))
  )


def rounds(tools: Tools, key: jax.Array, private: Private) -> HostRounds:
  """Fine-tuning of all models, one after another.

  Args:
    tools: pipeline and settings.
    key: root of every draw; each model uses a branch of its own.
    private: each model sees its own members alone.
  """
  options, unet = tools.options, tools.pipeline.unet
  models, members = private.members.shape
  epoch = -(-members // options.diffusion_batch)
  whole = epoch * options.diffusion_epochs
  each = -(-whole // _STEPS)
  model_keys = keys.model_keys(keys.stream(key, STAGE), models)
  blank = {
    name: np.zeros(tuple(parameter.shape), np.float32)
    for name, parameter in lora.parameters(unet).items()
  }

  def init() -> State:
    of_all = {
      name: np.zeros((models, *array.shape), np.float32)
      for name, array in blank.items()
    }
    return State(of_all, blank, blank)

  def run(
    number: int, state: State
  ) -> tuple[State, dict[str, float], dict[str, Any]]:
    model, index = divmod(number - 1, each)
    mine = model_keys[model]
    begin = index * _STEPS
    if begin:
      trained = {n: array[model] for n, array in state.adapters.items()}
    else:
      random = keys.host(keys.stream(mine, "adapters"))
      trained = lora.fresh(unet, options.rank, random)
      state = state._replace(first=blank, second=blank)
    lora.put(unet, trained)
    optimizer = _optimizer(tools, state, begin)
    losses = [
      _update(tools, optimizer, _batch(tools, mine, private, model, step))
      for step in range(begin, min(begin + _STEPS, whole))
    ]
    first, second = _moments(tools, optimizer)
    of_all = {n: array.copy() for n, array in state.adapters.items()}
    for name, array in lora.get(unet).items():
      of_all[name][model] = array
    return State(of_all, first, second), {"loss": float(np.mean(losses))}, {}

  return HostRounds(
    number=models * each,
    num_models=models,
    run=run,
    init=init,
    images=min(_STEPS, whole) * options.diffusion_batch,
    setting="diffusion_epochs",
    rate="diffusion_learning_rate",
  )


def _batch(
  tools: Tools, key: jax.Array, private: Private, model: int, step: int
) -> Batch:
  """What one model learns from in one step.

  Args:
    tools: sizes and settings.
    key: of the model.
    private: of all models.
    model: which.
    step: from 0.
  """
  options, pipeline = tools.options, tools.pipeline
  members = private.members[model]
  size = options.diffusion_batch
  epoch, place = divmod(step, -(-len(members) // size))
  shuffle = keys.host(jax.random.fold_in(keys.stream(key, "order"), epoch))
  # The last batch is filled up from the start of the same permutation.
  places = (np.arange(size) + place * size) % len(members)
  rows = shuffle.permutation(members)[places]
  random = keys.host(jax.random.fold_in(keys.stream(key, "step"), step))
  mirrored = random.random(size) < (0.5 if options.flip else 0.0)
  side = resolution(pipeline)
  pixels = fit(private.images[rows], (side, side, 3)) / np.float32(127.5) - 1
  pixels[mirrored] = pixels[mirrored, :, ::-1]
  latent = side // pipeline.vae_scale_factor
  shape = (size, pipeline.unet.config.in_channels, latent, latent)
  levels = pipeline.scheduler.config.num_train_timesteps
  return Batch(
    np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)),
    private.labels[rows],
    random.standard_normal(shape, np.float32),
    random.standard_normal(shape, np.float32),
    random.integers(0, levels, size),
  )


def _update(tools: Tools, optimizer: Any, batch: Batch) -> float:
  """One step of AdamW; the loss before it."""
  import torch

  optimizer.zero_grad(set_to_none=True)
  pipeline = tools.pipeline
  with torch.autocast(
    pipeline.device.type,
    dtype=pipeline.unet.dtype,
    enabled=pipeline.unet.dtype != torch.float32,
  ):
    loss = _loss(tools, batch)
  loss.backward()
  parameters = list(lora.parameters(pipeline.unet).values())
  torch.nn.utils.clip_grad_norm_(parameters, _LARGEST)
  optimizer.step()
  return float(loss.detach())


def _loss(tools: Tools, batch: Batch) -> Any:
  """Weighted squared error of the predicted noise, mean of the batch."""
  import torch

  pipeline = tools.pipeline
  unet, vae, config = pipeline.unet, pipeline.vae, pipeline.scheduler.config
  placed = [torch.from_numpy(a).to(pipeline.device) for a in batch]
  pixels, labels, posterior, noise, level = placed
  with torch.no_grad():
    distribution = vae.encode(pixels.to(vae.dtype)).latent_dist
    latents = distribution.mean + distribution.std * posterior
    latents = latents.float() * vae.config.scaling_factor
  # Of the training, whatever scheduler samples: they share it.
  kept = _alphas(config).to(pipeline.device)[level]
  clean, dirty = (
    x[:, None, None, None] for x in (kept**0.5, (1 - kept) ** 0.5)
  )
  noisy = clean * latents + dirty * noise
  target, snr = noise, kept / (1 - kept)
  weight = torch.ones_like(snr)
  if config.prediction_type == "v_prediction":
    target = clean * noise - dirty * latents
  if tools.options.min_snr_gamma:
    least = snr.clamp(max=tools.options.min_snr_gamma)
    is_noise = config.prediction_type == "epsilon"
    weight = least / (snr if is_noise else snr + 1)
  said = unet(
    noisy.to(unet.dtype), level, encoder_hidden_states=tools.prompts[labels]
  ).sample
  errors = (said.float() - target).square().mean((1, 2, 3))
  return (weight * errors).mean()


def _alphas(config: Any) -> Any:
  """Torch f32[T], the part of the image's variance left at every level."""
  import diffusers

  return diffusers.DDPMScheduler.from_config(config).alphas_cumprod


def _optimizer(tools: Tools, state: State, steps: int) -> Any:
  """AdamW with torch's default decay, as it was after so many steps."""
  import torch

  device = tools.pipeline.device
  named = lora.parameters(tools.pipeline.unet)
  optimizer = torch.optim.AdamW(
    named.values(), lr=tools.options.diffusion_learning_rate
  )
  if steps:
    place = lambda array: torch.from_numpy(array.copy()).to(device)
    for name, parameter in named.items():
      optimizer.state[parameter] = {
        "step": torch.tensor(float(steps)),
        "exp_avg": place(state.first[name]),
        "exp_avg_sq": place(state.second[name]),
      }
  return optimizer


def _moments(
  tools: Tools, optimizer: Any
) -> tuple[lora.Adapters, lora.Adapters]:
  """The first and the second of AdamW, as arrays."""
  named = lora.parameters(tools.pipeline.unet)
  of = lambda field: {
    name: optimizer.state[parameter][field].cpu().numpy().copy()
    for name, parameter in named.items()
  }
  return of("exp_avg"), of("exp_avg_sq")
