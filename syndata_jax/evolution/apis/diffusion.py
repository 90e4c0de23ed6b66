"""A diffusion model of this package as an API: draw anew, or image to image.

The degree of a variation is the strength of image-to-image, as a number that
may be traced: one compiled program serves all iterations, and runs no more
steps of the sampler than the strength asks for.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax.diffusion import base as bases
from syndata_jax.diffusion import edm
from syndata_jax.diffusion.base import Base
from syndata_jax.diffusion.model import (
  denoiser,
  make_network,
  signed,
  unsigned,
)
from syndata_jax.diffusion.sampler import redraw, sample_stochastic
from syndata_jax.errors import UserError, prefixed
from syndata_jax.evolution.api import Api
from syndata_jax.evolution.apis.options import ApiOptions
from syndata_jax.evolution.apis.parts import in_parts
from syndata_jax.keys import stream

_STEPS, _AT_ONCE = 18, 250


class Drawn(NamedTuple):
  """Samples; leaves [B,...]."""

  images: jax.Array  # u8[B,H,W,C]
  condition: jax.Array  # i32[B], the class that the base was asked for


@dataclasses.dataclass(frozen=True, eq=False)
class DiffusionApi(Api):
  """Samples of a pre-trained model.

  Attributes:
    base: the model; never touched.
    adapters: beside it, see `diffusion.lora`; None for none. Adapters that
      learned from the private images belong into the ledger: see `hybrid`.
    condition: "label" asks for the class that is wanted, "random" for any,
      which its variations then keep.
    guidance: weight of the class, 1 for no guidance.
    churn: of the stochastic sampler, over all steps; 0 for Heun's.
    steps: N of the sampler.
    at_once: images sampled together.
    public: what the base has seen.
  """

  base: Base
  adapters: Any = None
  condition: str = "label"
  guidance: float = 1.0
  churn: float = 0.0
  steps: int = _STEPS
  at_once: int = _AT_ONCE
  public: tuple[str, ...] = ()
  traceable: bool = True

  def random(self, key: jax.Array, labels: jax.Array) -> Drawn:
    """Images from noise.

    Args:
      key: of the noise.
      labels: i32[B].
    """
    condition = labels
    if self.condition == "random":
      condition = jax.random.randint(
        stream(key, "condition"), labels.shape, 0, self.base.num_classes
      )
    sigmas = edm.schedule(self.steps)

    def draw(part: tuple[jax.Array, jax.Array]) -> jax.Array:
      keys, condition = part
      shape = (len(condition), *self.base.image_shape)
      noise = sigmas[0] * jax.random.normal(stream(keys[0], "noise"), shape)
      images = sample_stochastic(
        self._denoiser(condition),
        stream(keys[0], "churn"),
        noise.astype(jnp.float32),
        sigmas,
        self.churn,
      )
      return unsigned(images)

    # A part uses the key of its first row.
    keys = jax.random.split(key, len(labels))
    return Drawn(in_parts(draw, (keys, condition), self.at_once), condition)

  def variation(
    self,
    key: jax.Array,
    samples: Drawn,
    labels: jax.Array,
    degree: float | jax.Array,
  ) -> Drawn:
    """Images that begin at the parents, under the same class.

    Args:
      key: of the noise.
      samples: parents.
      labels: i32[B].
      degree: strength of image-to-image, rounded to a whole number of the N
        steps: 0 leaves the images as they are, 1 forgets them.
    """
    sigmas = edm.schedule(self.steps)

    def vary(part: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
      keys, condition, images = part
      denoise, start = self._denoiser(condition), signed(images)
      return unsigned(
        redraw(denoise, keys[0], start, degree, sigmas, self.churn)
      )

    keys = jax.random.split(key, len(labels))
    rows = keys, samples.condition, samples.images
    images = in_parts(vary, rows, self.at_once)
    return Drawn(images, samples.condition)

  def render(self, samples: Drawn) -> jax.Array:
    """Images u8[B,H,W,C]."""
    return samples.images

  def refuse_private(self, images: np.ndarray) -> None:
    """Makes sure that the base has seen none of the private images.

    Args:
      images: u8[N,H,W,C], private.

    Raises:
      UserError: how many it has seen.
    """
    with prefixed("base"):
      bases.refuse_private(self.base, images)

  def _denoiser(self, condition: jax.Array) -> Any:
    module = make_network(
      self.base.options, self.base.image_shape, self.base.num_classes
    )
    return denoiser(
      module, self.base.params, condition, self.guidance, self.adapters
    )


def make(
  image_shape: tuple[int, int, int], num_classes: int, options: ApiOptions
) -> DiffusionApi:
  """The model in the folder that the options name.

  Args:
    image_shape: (H, W, C).
    num_classes: K.
    options: the folder, and how it is sampled.

  Raises:
    UserError: no folder, a damaged one, or a model of other images or classes.
  """
  if not options.base:
    raise UserError(
      "base='': must be the folder of a pre-trained model under"
      " api='diffusion'; syndata-pretrain makes one"
    )
  wanted = num_classes if options.condition == "label" else None
  with prefixed(f"base={options.base!r}"):
    base = bases.load(options.base, image_shape, wanted)
  return from_base(base, options)


def from_base(
  base: Base, options: ApiOptions, adapters: Any = None
) -> DiffusionApi:
  """A model that was read already, perhaps with adapters beside it.

  Args:
    base: the model.
    options: how it is sampled.
    adapters: see `DiffusionApi`.
  """
  source = base.facts.get("source", "unknown images")
  count = base.facts.get("images")
  images = f"{count:,} images of {source}" if count else f"images of {source}"
  return DiffusionApi(
    base,
    adapters,
    options.condition,
    options.guidance or 1.0,
    options.churn,
    options.sampling_steps or _STEPS,
    options.sampling_batch or _AT_ONCE,
    (f"weights of a diffusion model that was trained on {images}",),
  )
