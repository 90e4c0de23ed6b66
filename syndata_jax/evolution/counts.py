"""How many samples each class gets, where that is private too."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax.evolution.options import largest_remainders
from syndata_jax.keys import stream
from syndata_jax.privacy.discrete_gaussian import NoiseTable, draw


@functools.partial(jax.jit, static_argnames="num_classes")
def noisy_counts(
  key: jax.Array,
  labels: jax.Array,
  num_classes: int,
  noise: jax.Array | NoiseTable,
) -> jax.Array:
  """Records of each class with noise on each, f32[K]: a release.

  The clean counts stay inside; a record added or removed moves one by one.

  Args:
    key: of the run.
    labels: i32[N].
    num_classes: K.
    noise: standard deviation f32[], or the table of a discrete Gaussian.
  """
  clean = jnp.zeros(num_classes, jnp.int32).at[labels].add(1)
  noise_key = stream(key, "evolution.noise.counts")
  if isinstance(noise, NoiseTable):
    whole = clean + draw(noise_key, noise, clean.shape)
    return whole.astype(jnp.float32)
  return clean + noise * jax.random.normal(noise_key, clean.shape)


def sizes_of(noisy: np.ndarray, num_samples: int) -> tuple[int, ...]:
  """Samples of each class, by noisy counts alone; a class may get none.

  Args:
    noisy: f32[K]; those below 0 count as 0, and if all are, all are equal.
    num_samples: of all classes.
  """
  shares = np.maximum(np.asarray(noisy, np.float64), 0)
  if not shares.sum():
    shares = np.ones_like(shares)
  return largest_remainders(shares, num_samples)
