"""Stable Diffusion as an API, through `diffusers`, on the host.

Random images are those of a class's prompt, variations begin at their parents
under the same prompt. Samples keep the pipeline's own resolution and are fitted
to the private images' when they are rendered: a small image that is enlarged
again in every iteration would blur away.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax import keys
from syndata_jax.data.outside import check_shape, fit
from syndata_jax.diffusion import pipeline as pipelines
from syndata_jax.evolution.api import Api
from syndata_jax.evolution.apis.options import ApiOptions

_STEPS, _GUIDANCE, _AT_ONCE = 50, 7.5, 8


@dataclasses.dataclass(frozen=True, eq=False)
class StableDiffusionApi(Api):
  """Asks a pipeline; samples are u8[B,R,R,3].

  Attributes:
    pipeline: of diffusers, see `diffusion.pipeline.load`.
    embedded: the prompts of the classes torch[K,T,D], and no text [1,T,D].
    image_shape: (H, W, C) of what is rendered.
    steps: of the whole way from noise to image.
    guidance: of the prompt; 1 for none.
    at_once: images sampled together.
    public: the weights.
  """

  pipeline: Any
  embedded: tuple[Any, Any]
  image_shape: tuple[int, int, int]
  steps: int = _STEPS
  guidance: float = _GUIDANCE
  at_once: int = _AT_ONCE
  public: tuple[str, ...] = ()

  def random(self, key: jax.Array, labels: Any) -> np.ndarray:
    """Images of the classes' prompts.

    Args:
      key: of the noise.
      labels: i32[B].
    """
    labels = np.asarray(labels)
    parts = [
      self._sample(labels[part], seeds)
      for part, seeds in self._parts(key, labels)
    ]
    return np.concatenate(parts)

  def variation(
    self, key: jax.Array, samples: np.ndarray, labels: Any, degree: Any
  ) -> np.ndarray:
    """Images that begin at the parents.

    Args:
      key: of the noise.
      samples: parents u8[B,R,R,3].
      labels: i32[B].
      degree: strength of image-to-image; as many of the steps are taken,
        rounded down, and without one the parents stay as they are.
    """
    labels, strength = np.asarray(labels), float(degree)
    if not int(self.steps * strength):
      return samples
    parts = [
      self._sample(labels[part], seeds, samples[part], strength)
      for part, seeds in self._parts(key, labels)
    ]
    return np.concatenate(parts)

  def render(self, samples: np.ndarray) -> np.ndarray:
    """Images u8[B,H,W,C]."""
    return fit(samples, self.image_shape)

  def _parts(
    self, key: jax.Array, labels: np.ndarray
  ) -> Iterator[tuple[slice, np.ndarray]]:
    """Rows sampled together, and a seed for each of them."""
    seeds = keys.host(key).integers(0, 2**63, len(labels))
    for begin in range(0, len(labels), self.at_once):
      part = slice(begin, begin + self.at_once)
      yield part, seeds[part]

  def _sample(
    self,
    labels: np.ndarray,
    seeds: np.ndarray,
    begin: np.ndarray | None = None,
    strength: float = 1.0,
  ) -> np.ndarray:
    """Images u8[b,R,R,3] of one part; see `pipelines.sample`."""
    prompts, nothing = self.embedded
    return pipelines.sample(
      self.pipeline,
      (prompts[labels], nothing),
      seeds,
      self.steps,
      self.guidance,
      begin,
      strength,
    )


def make(
  image_shape: tuple[int, int, int], num_classes: int, options: ApiOptions
) -> StableDiffusionApi:
  """The pipeline in the folder that the options name.

  Args:
    image_shape: (H, W, C) of the private images.
    num_classes: K.
    options: the folder, prompts and sampling.

  Raises:
    UserError: a folder without the pipeline's files, diffusers not installed,
      or names that do not fit the classes.
  """
  check_shape(image_shape)
  texts = pipelines.prompts(options.class_names, options.prompt, num_classes)
  pipeline = pipelines.load(
    options.weights, options.scheduler, jnp.dtype(options.precision)
  )
  return StableDiffusionApi(
    pipeline,
    pipelines.embed(pipeline, texts),
    image_shape,
    options.sampling_steps or _STEPS,
    options.guidance or _GUIDANCE,
    options.sampling_batch or _AT_ONCE,
    (
      f"weights of Stable Diffusion in {options.weights}, trained on images of"
      " the web",
      f"prompts {options.prompt!r} with the names of the classes",
    ),
  )
