"""Logits of every model on the same images."""

import jax
import numpy as np
from jax import lax

from syndata_jax.ensemble.engine import Engine
from syndata_jax.ensemble.state import EnsembleState, ModelState, variables

_BATCH = 512


def predict(
  engine: Engine, state: EnsembleState, images: np.ndarray
) -> np.ndarray:
  """Queries all models in evaluation mode.

  Args:
    engine: network, layout and normalisation.
    state: the ensemble, leaves [M,...].
    images: u8[P,H,W,C], the same for every model.

  Returns:
    f32[M,P,K].
  """
  count = images.shape[0]
  batch = min(_BATCH, count)
  filled = np.resize(images, (-(-count // batch) * batch, *images.shape[1:]))
  batches = filled.reshape(-1, batch, *images.shape[1:])

  def query(state: ModelState, data: None, batches: jax.Array):
    del data
    return lax.map(
      lambda images: engine.model.apply(
        variables(state), engine.normalise(images), False
      ),
      batches,
    )

  layout = engine.layout
  logits = layout.compile(query)(
    layout.place(state), None, layout.replicate(batches)
  )
  logits = layout.gather(logits)
  return logits.reshape(layout.num_models, -1, logits.shape[-1])[:, :count]


def accuracy(
  engine: Engine, state: EnsembleState, images: np.ndarray, labels: np.ndarray
) -> np.ndarray:
  """Share of images u8[P,H,W,C] that each model classifies right, f32[M]."""
  guesses = predict(engine, state, images).argmax(axis=-1)
  return (guesses == labels).mean(axis=1).astype(np.float32)
