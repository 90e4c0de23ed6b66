"""Named random streams: each draw has its own key.

A stream is named by (seed, purpose), and within it by model and step, so a
draw never depends on how many others were made before it, on the number of
devices, or on the order in which the models are trained.
"""

import zlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np


def _tag(purpose: str) -> int:
  return zlib.crc32(purpose.encode())


def generator(seed: int, purpose: str) -> np.random.Generator:
  """A NumPy generator of its own for one purpose, for draws on the host."""
  return np.random.default_rng([seed, _tag(purpose)])


def stream(key: jax.Array, purpose: str) -> jax.Array:
  """The key of one purpose below `key`; fold a model id or a step in next."""
  return jax.random.fold_in(key, _tag(purpose))


def model_keys(key: jax.Array, num_models: int) -> jax.Array:
  """key[M]: model i's key depends on i alone, not on M or the devices."""
  ids = jnp.arange(num_models)
  return jax.vmap(partial(jax.random.fold_in, stream(key, "model")))(ids)


def host(key: jax.Array) -> np.random.Generator:
  """A NumPy generator seeded by one typed key, for draws on the host.

  The same on every machine: nothing is compiled.
  """
  return np.random.default_rng(np.asarray(jax.random.key_data(key)))
