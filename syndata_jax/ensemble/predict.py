"""Logits of every model on the same images."""

import functools

import jax
import numpy as np

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
  layout, count = engine.layout, images.shape[0]
  batch = batch_size(count)
  filled = np.resize(images, (-(-count // batch) * batch, *images.shape[1:]))
  query, placed = querying(engine), layout.place(state)
  logits = [
    layout.gather(query(placed, None, layout.replicate(part)))
    for part in np.split(filled, len(filled) // batch)
  ]
  return np.concatenate(logits, axis=1)[:, :count]


def accuracy(
  engine: Engine, state: EnsembleState, images: np.ndarray, labels: np.ndarray
) -> np.ndarray:
  """Share of images u8[P,H,W,C] that each model classifies right, f32[M]."""
  guesses = predict(engine, state, images).argmax(axis=-1)
  return (guesses == labels).mean(axis=1).astype(np.float32)


def batch_size(count: int) -> int:
  """Images queried at once: a power of two, so that few sizes are compiled."""
  return min(_BATCH, 1 << (count - 1).bit_length())


@functools.lru_cache(maxsize=8)
def querying(engine: Engine) -> jax.stages.Wrapped:
  """(placed states, None, images u8[B,H,W,C]) -> placed logits, compiled."""

  def query(state: ModelState, data: None, images: jax.Array):
    del data
    return engine.model.apply(variables(state), engine.normalise(images), False)

  return engine.layout.compile(query)
