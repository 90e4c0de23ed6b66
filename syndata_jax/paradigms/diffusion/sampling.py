"""The images of every model, sampled batch by batch into shards."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax.data.training_set import Private
from syndata_jax.diffusion import edm
from syndata_jax.diffusion.model import denoiser, signed, unsigned
from syndata_jax.diffusion.sampler import image_to_image, sample_stochastic
from syndata_jax.ensemble import Rounds
from syndata_jax.keys import model_keys, stream
from syndata_jax.models.unet import UNet
from syndata_jax.paradigms.diffusion.options import Options

STAGE = "samples"


class Trained(NamedTuple):
  """What one model samples with; each device holds those of its own models."""

  key: Any  # its typed key
  params: Any  # of the network, or adapters beside the shared base


class Asked(NamedTuple):
  """A batch that one model is to sample."""

  labels: Any  # i32[b]
  pixels: Any  # u8[b,H,W,C], private images to begin at; None for noise


def rounds(
  options: Options,
  module: UNet,
  key: jax.Array,
  private: Private,
  rows: np.ndarray,
  params: Any,
  base: Any = None,
) -> Rounds:
  """Sampling of all models: a round is a batch of each, in one loop.

  Args:
    options: how it is sampled.
    module: the network.
    key: root of every draw; model i uses its own branch.
    private: of all models.
    rows: i32[M,S], the private row behind each image; see `origins`.
    params: of all models, leaves [M,...]; adapters where there is a base.
    base: parameters that all share, None where each has its own.

  Returns:
    Rounds whose outputs are `images`, u8[M,b,H,W,C]; the last may go on with
    images of the first rows.
  """
  models, size = rows.shape
  number = -(-size // options.sampling_batch)
  batch = -(-size // number)
  by_image = options.sampling == "image"
  sigmas = edm.schedule(options.sampling_steps)
  churn = options.churn if options.sampler == "stochastic" else 0.0
  shape = batch, *private.images.shape[1:]

  def feed(number: int) -> Asked:
    places = np.arange((number - 1) * batch, number * batch) % size
    part = rows[:, places]
    pixels = private.images[part] if by_image else None
    return Asked(private.labels[part], pixels)

  def program(
    done: jax.Array, own: Trained, asked: Asked, base: Any
  ) -> tuple[jax.Array, dict[str, jax.Array], dict[str, jax.Array]]:
    key = jax.random.fold_in(own.key, done)
    weights = (own.params, None) if base is None else (base, own.params)
    denoise = denoiser(
      module, weights[0], asked.labels, options.guidance, weights[1]
    )
    if by_image:
      images = image_to_image(
        denoise, key, signed(asked.pixels), options.strength, sigmas, churn
      )
    else:
      noise = sigmas[0].astype(np.float32) * jax.random.normal(
        stream(key, "noise"), shape
      )
      images = sample_stochastic(
        denoise, stream(key, "churn"), noise, sigmas, churn
      )
    # A mean that is not finite ends the stage.
    mean = {"mean": images.mean()}
    return done + 1, mean, {"images": unsigned(images)}

  return Rounds(
    number=number,
    init=lambda own, base: jnp.zeros((), jnp.int32),
    program=program,
    own=Trained(model_keys(key, models), params),
    shared=base,
    feed=feed,
    images=lambda number: batch,
    setting="images_per_class",
    rate="diffusion_learning_rate",
  )
