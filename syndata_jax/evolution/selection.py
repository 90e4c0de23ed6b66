"""Which candidates become parents, by the noisy histogram alone.

All of it is post-processing: it costs nothing, may be redone, and reads no
private record.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax.errors import UserError
from syndata_jax.evolution import geometry
from syndata_jax.evolution.options import EvolutionOptions


class _Layout(NamedTuple):
  """Bins of each class, padded to one length C; all static."""

  rows: np.ndarray  # i32[K,C]
  is_real: np.ndarray  # bool[K,C]
  parents: np.ndarray  # places of the parents in a flat [K,M]


@functools.partial(jax.jit, static_argnames=("sizes", "fold", "options"))
def select(
  key: jax.Array,
  noisy: jax.Array,
  sizes: tuple[int, ...],
  fold: int,
  options: EvolutionOptions,
  embeddings: jax.Array | None = None,
  stddev: jax.Array | float = 0.0,
) -> jax.Array:
  """Rows of the parents, i32[m], sorted by class.

  Args:
    key: of the draws.
    noisy: f32[S], sorted by class.
    sizes: parents of each class, sum m.
    fold: candidates for each parent, so that S = fold m.
    options: which rule, and its threshold.
    embeddings: of the candidates, f32[S,D]; for `geometry` alone.
    stddev: of the noise in votes; for `geometry`, and for a threshold that is
      counted in it.

  Raises:
    UserError: more parents than `rank` has candidates.
  """
  layout = _layout(sizes, fold)
  most = max(sizes)
  bins = noisy[layout.rows]
  if options.selection == "rank":
    if fold < 1:
      raise UserError("selection='rank': more parents than candidates")
    _, places = jax.lax.top_k(jnp.where(layout.is_real, bins, -jnp.inf), most)
  elif options.selection == "sample":
    weights = shares(bins, layout.is_real, (options.level(stddev),))
    keys = jax.random.split(key, len(sizes))
    places = jax.vmap(functools.partial(_drawn, most))(keys, weights)
  else:
    assert embeddings is not None
    above = geometry.level(options, sum(sizes) * fold, stddev)
    pick = functools.partial(geometry.parents, most)
    places = jax.vmap(pick)(
      embeddings[layout.rows],
      shares(bins, layout.is_real, (above, options.level(stddev))),
      jnp.maximum(jnp.asarray(sizes), 1),
    )
  chosen = jnp.take_along_axis(jnp.asarray(layout.rows), places, axis=1)
  return chosen.ravel()[layout.parents]


def kept_votes(noisy: jax.Array, threshold: float | jax.Array) -> jax.Array:
  """What is left of the votes above the threshold H: max(noisy - H, 0)."""
  return jnp.maximum(noisy - threshold, 0)


def shares(
  bins: jax.Array,
  is_real: np.ndarray,
  levels: tuple[jax.Array | float, ...],
) -> jax.Array:
  """Weights of selection f32[K,C], of each class above 0 somewhere.

  Where no bin of a class is above the first level, the next one counts for that
  class, and 0 in the end; where none is above 0, all bins weigh the same. That,
  too, follows from the noisy histogram alone.

  Args:
    bins: noisy votes f32[K,C].
    is_real: bool[K,C], what is no padding.
    levels: in votes, subtracted from the bins.
  """
  real = jnp.asarray(is_real)
  weights = jnp.zeros_like(bins)
  for level in (*levels, 0.0):
    kept = jnp.where(real, jnp.maximum(bins - level, 0), 0)
    is_empty = weights.sum(axis=1, keepdims=True) <= 0
    weights = jnp.where(is_empty, kept, weights)
  is_empty = weights.sum(axis=1, keepdims=True) <= 0
  return jnp.where(is_empty, real.astype(bins.dtype), weights)


def _drawn(most: int, key: jax.Array, weights: jax.Array) -> jax.Array:
  """Places i32[M], drawn with replacement in proportion to weights f32[C].

  Args:
    most: M.
    key: of the draws.
    weights: at least 0, not all 0.
  """
  passed = jnp.cumsum(weights)
  points = jax.random.uniform(key, (most,)) * passed[-1]
  places = jnp.searchsorted(passed, points, side="right")
  # A point that rounding puts at the end belongs to the last who weighs.
  last = len(weights) - 1 - jnp.argmax(weights[::-1] > 0)
  return jnp.minimum(places, last).astype(jnp.int32)


def _layout(sizes: tuple[int, ...], fold: int) -> _Layout:
  bins = fold * np.asarray(sizes)
  within = np.arange(max(1, bins.max()))
  is_real = within < bins[:, None]
  starts = (np.cumsum(bins) - bins)[:, None]
  rows = np.where(is_real, starts + within, 0).astype(np.int32)
  is_parent = np.arange(max(sizes)) < np.asarray(sizes)[:, None]
  return _Layout(rows, is_real, np.flatnonzero(is_parent))
