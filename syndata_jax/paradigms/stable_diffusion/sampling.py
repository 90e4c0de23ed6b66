"""The images of every model, from noise or from its own private images."""

from typing import Any

import jax
import numpy as np

from syndata_jax import keys
from syndata_jax.data.outside import fit
from syndata_jax.data.training_set import Private
from syndata_jax.diffusion import pipeline
from syndata_jax.ensemble import HostRounds
from syndata_jax.paradigms.stable_diffusion import adapters as lora
from syndata_jax.paradigms.stable_diffusion.fine_tuning import Tools

STAGE = "sampling"


def rounds(
  tools: Tools,
  key: jax.Array,
  private: Private,
  rows: np.ndarray,
  adapters: lora.Adapters,
) -> HostRounds:
  """Sampling of all models; a round is a batch of one model.

  Args:
    tools: pipeline and settings.
    key: root of every draw; each image uses a branch of its own, so batches of
      another size change it by rounding only.
    private: of all models.
    rows: i32[M,S], the private row behind every image; see `origins.draw`.
    adapters: of all models, [M,...].

  Returns:
    Rounds whose outputs are `images`, u8[b,H,W,C].
  """
  models, images = rows.shape
  batch = tools.options.sampling_batch
  each = -(-images // batch)
  model_keys = keys.model_keys(keys.stream(key, STAGE), models)

  def run(number: int, state: None) -> tuple[None, dict, dict[str, Any]]:
    model, index = divmod(number - 1, each)
    of_model = {name: array[model] for name, array in adapters.items()}
    lora.put(tools.pipeline.unet, of_model)
    random = keys.host(model_keys[model])
    seeds = np.asarray(random.integers(0, 2**63, images))
    part = slice(index * batch, (index + 1) * batch)
    sampled = _sample(tools, private, rows[model, part], seeds[part])
    shape = private.images.shape[1:]
    return state, {}, {"images": fit(sampled, shape)}

  return HostRounds(
    number=models * each, num_models=models, run=run, images=batch
  )


def _sample(
  tools: Tools, private: Private, rows: np.ndarray, seeds: np.ndarray
) -> np.ndarray:
  """Images of the pipeline's resolution, u8[b,R,R,3].

  Args:
    tools: pipeline and settings.
    private: of all models.
    rows: i32[b], the private row behind each.
    seeds: i64[b], of each.
  """
  options = tools.options
  labels, begin = private.labels[rows], None
  if options.sampling == "image":
    side = pipeline.resolution(tools.pipeline)
    begin = fit(private.images[rows], (side, side, 3))
  return pipeline.sample(
    tools.pipeline,
    (tools.prompts[labels], tools.no_prompt),
    seeds,
    options.sampling_steps,
    options.guidance,
    begin,
    options.strength,
  )
