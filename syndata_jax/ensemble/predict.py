"""Logits of every model: on the same images, or of its own members."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from syndata_jax.ensemble import memory
from syndata_jax.ensemble.engine import Engine
from syndata_jax.ensemble.learner import Own, Pool, data
from syndata_jax.ensemble.sgd import filled

_BATCH = 512


def predict(engine: Engine, variables: Any, images: np.ndarray) -> np.ndarray:
  """Queries all models in evaluation mode; see `querier`."""
  return querier(engine, variables)(images)


def querier(
  engine: Engine, variables: Any
) -> Callable[[np.ndarray], np.ndarray]:
  """All models, ready to be asked; placed and compiled once.

  Args:
    engine: network, layout and normalisation.
    variables: of all models, what `engine.model.apply` takes, leaves [M,...].

  Returns:
    `(images u8[P,H,W,C], the same for every model) -> logits f32[M,P,K]`.
  """
  ask, placed = _asker(engine), engine.layout.place(variables)
  return lambda images: ask(placed, images)


def one_by_one(
  engine: Engine,
) -> Callable[[Any, int, np.ndarray], np.ndarray]:
  """One model after the other, each asked about images of its own.

  Args:
    engine: network and normalisation; it is compiled once.

  Returns:
    `(variables of all models, model, images [P,H,W,C], u8 or as the network
    reads them) -> logits f32[P,K]`.
  """
  single = engine._replace(layout=engine.layout.spread(1))
  ask = _asker(single)

  def ask_one(variables: Any, model: int, images: np.ndarray) -> np.ndarray:
    own = jax.tree.map(lambda leaf: leaf[model : model + 1], variables)
    return ask(single.layout.place(own), images)[0]

  return ask_one


def _asker(engine: Engine) -> Callable[[Any, np.ndarray], np.ndarray]:
  """`(placed variables, images [P,H,W,C]) -> logits f32[M,P,K]`."""
  layout = engine.layout
  programs: dict[tuple, jax.stages.Wrapped] = {}

  def ask(placed: Any, images: np.ndarray) -> np.ndarray:
    count, *shape = images.shape
    size = images_at_once(count)
    padded = np.resize(images, (-(-count // size) * size, *shape))
    kind = (size, *shape, images.dtype)
    if kind not in programs:
      one = jax.ShapeDtypeStruct((size, *shape), images.dtype)
      programs[kind] = query_program(engine, placed, one)
    with memory.exhaustion(layout):
      logits = [
        layout.gather(programs[kind](placed, None, layout.replicate(part)))
        for part in np.split(padded, len(padded) // size)
      ]
    return np.concatenate(logits, axis=1)[:, :count]

  return ask


def query_program(
  engine: Engine, placed: Any, images: jax.ShapeDtypeStruct
) -> jax.stages.Wrapped:
  """(placed variables, None, images u8[B,H,W,C]) -> placed logits, compiled.

  Args:
    engine: as in `querier`.
    placed: variables on the devices.
    images: of one call; as many models at once as the memory allows for them.
  """

  def query(variables: Any, data: None, images: jax.Array) -> Any:
    del data
    return engine.model.apply(variables, engine.normalise(images), False)

  layout = memory.fitted(
    engine.layout, lambda one: one.compile(query).lower(placed, None, images)
  )
  return layout.compile(query)


def accuracy(
  engine: Engine, variables: Any, images: np.ndarray, labels: np.ndarray
) -> np.ndarray:
  """Share of images that each model classifies right, f32[M].

  Args:
    engine: as in `predict`.
    variables: as in `predict`.
    images: u8[P,H,W,C].
    labels: i32[P].
  """
  guesses = predict(engine, variables, images).argmax(axis=-1)
  return (guesses == labels).mean(axis=1).astype(np.float32)


def images_at_once(count: int) -> int:
  """A power of two, so that few sizes are compiled."""
  return min(_BATCH, 1 << (count - 1).bit_length())


def over_members(
  function: Callable[[jax.Array, jax.Array], jax.Array], own: Own, pool: Pool
) -> jax.Array:
  """Applies a function to all examples of one model, in batches.

  One batch follows the other, so that no more activations than those of one
  are held.

  Args:
    function: `(images [B,H,W,C], labels [B]) -> [B,...]`.
    own: of the model.
    pool: that it reads.

  Returns:
    [n,...], in the order of the model's rows.
  """
  images, labels, rows = data(own, pool)
  size = rows.shape[0]
  batch = images_at_once(size)
  batches = filled(rows, batch, -(-size // batch))
  results = lax.map(
    lambda index: function(images[index], labels[index]), batches
  )
  return jnp.reshape(results, (-1, *results.shape[2:]))[:size]
