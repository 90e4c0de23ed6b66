"""The nearest candidates of private records, tile by tile, compiled.

Never all distances at once, and only rows are asked for: a tile's products rank
by |s|^2 - 2ps. Groups of neighbouring candidates are compared by their best one
first, which is a loop that processors do many numbers at a time; then the best
groups are looked into.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from syndata_jax.images.neighbours import Metric

# Candidates in a group: of each group a tile keeps one number.
GROUP = 16
# Candidates in a tile.
_TILE = 8192


class Candidates(NamedTuple):
  """Candidates of every class, ready to be compared.

  Attributes:
    centre: f32[D], subtracted before products, from records too.
    tiles: f32[K,J,R,D], candidates less the centre, padded. Of a tile's R/16
      groups first come the first candidates of each, then the second ones.
    short: f32[K,J,R], what twice a product exceeds a nearness by; infinite for
      padding and for candidates that are not finite.
    starts: i32[K], the first row of each class.
  """

  centre: jax.Array
  tiles: jax.Array
  short: jax.Array
  starts: jax.Array


def prepared(
  candidates: jax.Array, sizes: tuple[int, ...], metric: Metric
) -> Candidates:
  """Lays out candidates f32[S,D], sorted by class.

  Args:
    candidates: their embeddings.
    sizes: candidates of each class, sum S.
    metric: `l2` or `cosine`.
  """
  finite = jnp.isfinite(candidates).all(axis=1)
  rows = jnp.where(finite[:, None], candidates, 0)
  rows = unit(rows) if metric == "cosine" else rows
  centre = jnp.zeros(rows.shape[1], rows.dtype)
  if metric == "l2":
    centre = _centre(rows)
  place, is_real = _layout(sizes)
  tiles = rows[place] - centre
  # Of unit rows the square is the same for all but those of zeros, which the
  # product alone puts where they belong.
  square = (
    jnp.square(tiles).sum(axis=-1)
    if metric == "l2"
    else jnp.zeros(place.shape, rows.dtype)
  )
  short = jnp.where(finite[place] & is_real, square, jnp.inf)
  starts = np.cumsum(sizes) - sizes
  return Candidates(centre, tiles, short, jnp.asarray(starts, jnp.int32))


def nearest(
  embeddings: jax.Array,
  rows: jax.Array,
  classes: jax.Array,
  candidates: Candidates,
  k: int,
  metric: Metric,
) -> jax.Array:
  """Rows i32[T,B,k] of the nearest candidates of a class, the nearest first.

  Equally near ones come in their order. Where there is none, the row is -1.

  Args:
    embeddings: of records, f32[N,D], finite.
    rows: of the records of a tile, i32[T,B].
    classes: i32[T], theirs.
    candidates: from `prepared`.
    k: candidates for each record.
    metric: as it was prepared.
  """
  num_classes, num_tiles, width, _ = candidates.tiles.shape

  # Tiles of candidates are the outer loop: they are the larger ones to read.
  def against(best: _Best, tile: tuple[jax.Array, ...]) -> tuple[_Best, None]:
    references, short, first = tile

    def step(
      carry: None, now: tuple[jax.Array, jax.Array, _Best]
    ) -> tuple[None, _Best]:
      of_tile, label, so_far = now
      records = embeddings[of_tile]
      if metric == "cosine":
        records = unit(records)
      # One class needs no copy of its tile.
      place = label if num_classes > 1 else 0
      product = jnp.matmul(
        2 * (records - candidates.centre),
        references[place].T,
        precision=lax.Precision.HIGHEST,
      )
      values, inside = _best_of(product - short[place], k)
      return carry, _merged(so_far, _Best(values, inside + first), k)

    _, best = lax.scan(step, None, (rows, classes, best))
    return best, None

  shape = (*rows.shape, k)
  begin = _Best(jnp.full(shape, -jnp.inf), jnp.zeros(shape, jnp.int32))
  by_tile = lambda array: jnp.moveaxis(array, 1, 0)
  first = jnp.arange(num_tiles, dtype=jnp.int32) * width
  tiles = by_tile(candidates.tiles), by_tile(candidates.short), first
  (values, inside), _ = lax.scan(against, begin, tiles)
  starts = candidates.starts[classes][:, None, None]
  return jnp.where(values > -jnp.inf, inside + starts, -1)


class _Best(NamedTuple):
  """The best candidates so far of a tile of records."""

  values: jax.Array  # f32[...,k], nearness, the largest first
  inside: jax.Array  # i32[...,k], their rows within the class


def _best_of(nearness: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
  """The nearest of a tile, in the order of their rows: [B,G] of each.

  G is 16 times the groups that they may be in.

  Args:
    nearness: f32[B,R].
    k: how many are wanted.
  """
  num_groups = nearness.shape[1] // GROUP
  near = nearness.reshape(-1, GROUP, num_groups)
  # Written out, it is one loop over neighbouring numbers.
  heads = functools.reduce(jnp.maximum, [near[:, i] for i in range(GROUP)])
  _, groups = lax.top_k(heads, min(k, num_groups))
  groups = jnp.sort(groups, axis=1)[:, :, None]
  members = jnp.arange(GROUP, dtype=jnp.int32)
  inside = (groups * GROUP + members).reshape(len(near), -1)
  places = (groups + members * num_groups).reshape(len(near), -1)
  return jnp.take_along_axis(nearness, places, axis=1), inside


def _merged(best: _Best, others: _Best, k: int) -> _Best:
  """The k best of both; of equal ones those that come first."""
  values = jnp.concatenate([best.values, others.values], axis=1)
  inside = jnp.concatenate([best.inside, others.inside], axis=1)
  value, order = lax.top_k(values, k)
  return _Best(value, jnp.take_along_axis(inside, order, axis=1))


def _layout(sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
  """Which candidate stands where in the tiles, and whether one does.

  Returns:
    i32[K,J,R] and bool[K,J,R]; padding points at row 0.
  """
  largest = max(*sizes, 1)
  count = -(-largest // _TILE)
  width = -(-largest // (count * GROUP)) * GROUP
  inside = np.arange(count * width, dtype=np.int32)
  groups_last = inside.reshape(count, width // GROUP, GROUP).swapaxes(1, 2)
  within = groups_last.reshape(1, count, width)
  per_class = np.asarray(sizes, np.int32)[:, None, None]
  starts = (np.cumsum(sizes, dtype=np.int32) - sizes)[:, None, None]
  is_real = within < per_class
  return np.where(is_real, within + starts, 0).astype(np.int32), is_real


def _centre(rows: jax.Array) -> jax.Array:
  """About the mean of rows f32[S,D]; f32[D].

  Distances stay as they are without it, and of small numbers less is rounded.
  Of few bits, so that whole numbers stay whole, and their ties ties.
  """
  mean = rows.mean(axis=0)
  _, exponent = jnp.frexp(jnp.abs(rows - mean).max())
  step = jnp.ldexp(jnp.ones((), rows.dtype), exponent - 1)
  return jnp.round(mean / step) * step


def unit(rows: jax.Array) -> jax.Array:
  """Rows of length 1; a row of zeros stays."""
  length = jnp.linalg.norm(rows, axis=-1, keepdims=True)
  return rows / jnp.where(length > 0, length, 1)
