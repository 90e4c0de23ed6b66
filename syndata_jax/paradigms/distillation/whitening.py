"""ZCA whitening, fitted by every model on its own members.

Pixels in [0, 1] without further normalisation; the matrix is
U (S + 0.1)^(-1/2) U^T of the covariance U S U^T. Sources: Krizhevsky (2009),
appendix A; as used by Cazenavette et al., arXiv 2203.11932, section 4.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from syndata_jax.data.training_set import Private
from syndata_jax.ensemble import Layout, filled
from syndata_jax.ensemble.predict import images_at_once

_REGULARISER = 0.1


class Whitening(NamedTuple):
  """A linear map of flattened pixels in [0, 1]: (x - mean) @ matrix.

  Those of all models have leaves [M,...].
  """

  mean: Any  # f32[D], D = H*W*C
  matrix: Any  # f32[D,D], symmetric


def to_released(whitening: Whitening | None) -> dict[str, Any]:
  """Its part of `TrainingSet.released`: `whitening.mean`, `whitening.matrix`.

  Without a whitening it has no part there.
  """
  return {} if whitening is None else {"whitening": whitening._asdict()}


def from_released(released: dict[str, Any] | None) -> Whitening | None:
  """The inverse of `to_released`."""
  arrays = (released or {}).get("whitening")
  return None if arrays is None else Whitening(**arrays)


def fit(layout: Layout, private: Private) -> Whitening:
  """The whitening of every model, mean f32[M,D] and matrix f32[M,D,D].

  A single image has no covariance: it counts as zero.
  """
  count = private.members.shape[1]
  size = int(np.prod(private.images.shape[1:]))
  batch = images_at_once(count)
  steps = -(-count // batch)
  # Sums, not one result an example: what fills the last batch counts nothing.
  counts = (np.arange(steps * batch) < count).reshape(steps, batch, 1)

  def of_one(members: jax.Array, images: jax.Array) -> Whitening:
    batches = filled(members, batch, steps), jnp.asarray(counts)

    def total(of_batch: Callable, start: jax.Array) -> jax.Array:
      def add(
        sums: jax.Array, rows_and_counts: tuple[jax.Array, jax.Array]
      ) -> tuple[jax.Array, None]:
        rows, counted = rows_and_counts
        pixels = jnp.where(counted, _flat(images[rows]), 0)
        return sums + of_batch(pixels), None

      return lax.scan(add, start, batches)[0]

    mean = total(lambda x: x.sum(0), jnp.zeros(size)) / count
    products = total(lambda x: x.T @ x, jnp.zeros((size, size)))
    scatter = products - count * mean[:, None] * mean
    covariance = scatter / max(count - 1, 1)
    values, vectors = jnp.linalg.eigh(covariance)
    scale = 1 / jnp.sqrt(jnp.maximum(values, 0) + _REGULARISER)
    return Whitening(mean, (vectors * scale) @ vectors.T)

  # One model fills a device. With two at once, two devices that shared two CPU
  # cores have been seen to wait for each other for ever.
  one_by_one = dataclasses.replace(layout, chunk=1)
  return one_by_one.map(of_one, private.members, private.images)


def whiten(images: jax.Array, whitening: Whitening) -> jax.Array:
  """u8[...,H,W,C] -> f32 of the same shape, by one model's whitening."""
  flat = _flat(images, images.ndim - 3) - whitening.mean
  return (flat @ whitening.matrix).reshape(images.shape)


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


def variables(
  whitening: Whitening, params: Any, batch_stats: Any
) -> dict[str, Any]:
  """What `Whitened` takes, of what its network takes; leaves [M,...]."""
  stats = whitening._asdict()
  if batch_stats:
    stats["network"] = batch_stats
  return {"params": {"network": params}, "batch_stats": stats}
