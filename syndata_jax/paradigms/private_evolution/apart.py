"""The evolutions of the models one after another, on the host.

For generators or spaces that are no functions of JAX, such as Stable Diffusion.
Every model keeps its own state; one that was stopped goes on from it.
"""

import pathlib

import jax
import numpy as np

from syndata_jax import keys
from syndata_jax.data.training_set import Private
from syndata_jax.ensemble import HostRounds
from syndata_jax.evolution.api import Api
from syndata_jax.evolution.embedding import Embedding
from syndata_jax.evolution.evolve import evolve
from syndata_jax.evolution.options import EvolutionOptions
from syndata_jax.privacy import Ledger

STAGE = "evolution"
_STATES = "states"


def rounds(
  options: EvolutionOptions,
  api: Api,
  embedding: Embedding,
  ledger: Ledger,
  private: Private,
  pool: np.ndarray,
  key: jax.Array,
  folder: pathlib.Path,
) -> HostRounds:
  """One round a model, whose output are its `images` u8[1,S,H,W,C].

  Args:
    options: settings.
    api: the generator.
    embedding: the space.
    ledger: of each model, before it has released anything.
    private: of all models.
    pool: of the private images, embedded f32[N,D].
    key: root of every draw; model i uses its own branch.
    folder: of the stage, for the states.
  """
  models = len(private.members)
  of_models = keys.model_keys(key, models)

  def run(
    number: int, state: None
  ) -> tuple[None, dict[str, float], dict[str, np.ndarray]]:
    model = number - 1
    rows = private.members[model]
    evolved = evolve(
      private.images[rows],
      private.labels[rows],
      embedding,
      api,
      ledger,
      of_models[model],
      options,
      private.num_classes,
      folder / _STATES / f"{model:05}",
      embeddings=pool[rows],
    )
    images = np.asarray(evolved.rendered, np.uint8)
    last = evolved.history[-1]
    metrics = {"signal": last.signal.mass, "ancestors": float(last.ancestors)}
    return state, metrics, {"images": images[None]}

  return HostRounds(
    number=models,
    num_models=models,
    run=run,
    images=options.num_samples * options.fold * options.num_iterations,
    setting="num_iterations",
    rate="threshold",
  )
