"""ZCA whitening, fitted by every model on its own members.

Pixels in [0, 1] without further normalisation; the matrix is
U (S + 0.1)^(-1/2) U^T of the covariance U S U^T. Sources: Krizhevsky (2009),
appendix A; as used by Cazenavette et al., arXiv 2203.11932, section 4.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from syndata_jax.data.training_set import Whitening
from syndata_jax.ensemble import Layout
from syndata_jax.ensemble.predict import batch_size
from syndata_jax.paradigms.interface import Private

_REGULARISER = 0.1


def fit(layout: Layout, private: Private) -> Whitening:
  """The whitening of every model, mean f32[M,D] and matrix f32[M,D,D]."""
  count = private.members.shape[1]

  def of_one(members: jax.Array, data: None, images: jax.Array) -> Whitening:
    del data
    batch = batch_size(count)
    places = jnp.arange(-(-count // batch) * batch)
    rows = members[places % count].reshape(-1, batch)
    valid = (places < count).reshape(-1, batch, 1)

    def moments(of, start):
      def add(total, part):
        index, counted = part
        return total + of(jnp.where(counted, _flat(images[index]), 0)), None

      return lax.scan(add, start, (rows, valid))[0]

    # Derived from the rows: constants would count as shared by all devices.
    zero = jnp.zeros_like(_flat(images[members[:1]]))[0]
    mean = moments(lambda x: x.sum(0), zero) / count
    square = lambda x: x.T @ x
    products = moments(square, zero[:, None] + zero)
    covariance = (products - count * mean[:, None] * mean) / (count - 1)
    values, vectors = jnp.linalg.eigh(covariance)
    scale = 1 / jnp.sqrt(jnp.maximum(values, 0) + _REGULARISER)
    return Whitening(mean, (vectors * scale) @ vectors.T)

  found = layout.compile(of_one)(
    layout.place(private.members),
    None,
    layout.replicate(jnp.asarray(private.images)),
  )
  return layout.gather(found)


def whiten(images: jax.Array, by: Whitening) -> jax.Array:
  """u8[...,H,W,C] -> f32 of the same shape, by one model's whitening."""
  flat = (_flat(images, images.ndim - 3) - by.mean) @ by.matrix
  return flat.reshape(images.shape)


def _flat(images: jax.Array, leading: int = 1) -> jax.Array:
  """u8[...,H,W,C] -> f32[...,D] in [0, 1]."""
  return images.reshape(*images.shape[:leading], -1).astype(jnp.float32) / 255


class Whitened(nn.Module):
  """A network that reads pixels in [0, 1] through its own whitening.

  For queries: what it was trained on had been whitened already.
  """

  network: nn.Module

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    size = x[0].size
    mean = self.variable("batch_stats", "mean", jnp.zeros, (size,))
    matrix = self.variable("batch_stats", "matrix", jnp.zeros, (size, size))
    flat = x.reshape(x.shape[0], -1).astype(jnp.float32)
    flat = (flat - mean.value) @ matrix.value
    return self.network(flat.reshape(x.shape).astype(x.dtype), train)


def released(by: Whitening, params, batch_stats):
  """Trained variables as those of `Whitened`; leaves [M,...]."""
  stats = {"mean": np.asarray(by.mean), "matrix": np.asarray(by.matrix)}
  if batch_stats:
    stats["network"] = batch_stats
  return {"network": params}, stats
