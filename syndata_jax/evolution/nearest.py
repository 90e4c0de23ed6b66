"""The nearest candidates of private records, tile by tile, compiled.

Never all distances at once. A tile's products decide by |s|^2 - 2ps which
groups of neighbouring candidates hold the nearest; the candidates of these
groups are then ranked by differences, so that equal ones are equally near, and
of those the first counts.
"""

import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Metric = Literal["l2", "cosine"]

# Candidates in a group: of each group a tile keeps one number.
GROUP = 16
# Candidates in a tile.
_TILE = 8192
# Groups beyond the k, for those that rounding puts in the wrong order.
_SPARE = 1


class Candidates(NamedTuple):
  """Candidates of every class, ready to be compared.

  Attributes:
    rows: f32[S,D], as they are ranked: unit ones or zeros if `cosine`.
    centre: f32[D], subtracted before products, from records too.
    tiles: f32[K,J,R,D], candidates less the centre, padded. Of a tile's R/16
      groups first come the first candidates of each, then the second ones.
    short: f32[K,J,R], what twice a product exceeds a nearness by; infinite for
      padding and for candidates that are not finite.
    starts: i32[K], the first row of each class.
    sizes: i32[K], rows of each class.
  """

  rows: jax.Array
  centre: jax.Array
  tiles: jax.Array
  short: jax.Array
  starts: jax.Array
  sizes: jax.Array


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
    # Distances stay as they are, and of small numbers less is rounded.
    centre = rows.mean(axis=0)
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
  return Candidates(
    rows,
    centre,
    tiles,
    short,
    jnp.asarray(starts, jnp.int32),
    jnp.asarray(sizes, jnp.int32),
  )


def nearest(
  records: jax.Array,
  group: jax.Array,
  candidates: Candidates,
  k: int,
  metric: Metric,
) -> jax.Array:
  """Rows i32[B,k] of the nearest candidates of one class, the nearest first.

  Equally near ones come in their order. Where there is none, the row is S.

  Args:
    records: f32[B,D], finite.
    group: i32[], their class.
    candidates: from `prepared`.
    k: at most the candidates of any class that has some.
    metric: as it was prepared.
  """
  if metric == "cosine":
    records = unit(records)
  groups = _best_groups(
    2 * (records - candidates.centre),
    candidates.tiles[group],
    candidates.short[group],
    k + _SPARE,
  )
  inside = groups[:, :, None] * GROUP + jnp.arange(GROUP)
  inside = inside.reshape(len(records), -1)
  size, total = candidates.sizes[group], candidates.rows.shape[0]
  rows = jnp.where(inside < size, inside + candidates.starts[group], total)
  rivals = candidates.rows.at[rows].get(mode="clip")
  gaps = jnp.square(rivals - records[:, None]).sum(axis=-1)
  if metric == "cosine":
    # With a and b of length 1 it is 1 - ab = |a - b|^2 / 2.
    both = _any(records)[:, None] & _any(rivals)
    gaps = jnp.where(both, gaps / 2, 1.0)
  gaps = jnp.where(rows < total, gaps, jnp.inf)
  _, rows = lax.sort((gaps, rows), num_keys=2)
  return rows[:, :k]


def _best_groups(
  doubled: jax.Array, tiles: jax.Array, short: jax.Array, count: int
) -> jax.Array:
  """The groups that the nearest candidates are in, i32[B,count].

  Args:
    doubled: twice the records, f32[B,D].
    tiles: f32[J,R,D].
    short: f32[J,R].
    count: groups for each record. What there is not has a number beyond them.
  """
  num_tiles, width, _ = tiles.shape
  num_groups = width // GROUP

  def step(
    best: tuple[jax.Array, jax.Array], tile: tuple[jax.Array, ...]
  ) -> tuple[tuple[jax.Array, jax.Array], None]:
    references, of_each, first = tile
    product = jnp.matmul(
      doubled, references.T, precision=lax.Precision.HIGHEST
    )
    near = (product - of_each).reshape(-1, GROUP, num_groups)
    # Written out, it is one loop over neighbouring numbers.
    heads = functools.reduce(jnp.maximum, [near[:, i] for i in range(GROUP)])
    values = jnp.concatenate([best[0], heads], axis=1)
    numbers = jnp.broadcast_to(
      first + jnp.arange(num_groups, dtype=jnp.int32), heads.shape
    )
    numbers = jnp.concatenate([best[1], numbers], axis=1)
    value, order = lax.top_k(values, count)
    return (value, jnp.take_along_axis(numbers, order, axis=1)), None

  first = jnp.arange(num_tiles, dtype=jnp.int32) * num_groups
  shape = (doubled.shape[0], count)
  begin = (
    jnp.full(shape, -jnp.inf),
    jnp.full(shape, num_tiles * num_groups, jnp.int32),
  )
  (_, numbers), _ = lax.scan(step, begin, (tiles, short, first))
  return numbers


def _layout(sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
  """Which candidate stands where in the tiles, and whether one does.

  Returns:
    i32[K,J,R] and bool[K,J,R]; padding points at row 0.
  """
  largest = max(*sizes, 1)
  count = -(-largest // _TILE)
  width = -(-largest // (count * GROUP)) * GROUP
  within = np.arange(count * width, dtype=np.int32)
  within = within.reshape(count, width // GROUP, GROUP).swapaxes(1, 2)
  within = within.reshape(1, count, width)
  per_class = np.asarray(sizes, np.int32)[:, None, None]
  starts = (np.cumsum(sizes, dtype=np.int32) - sizes)[:, None, None]
  is_real = within < per_class
  return np.where(is_real, within + starts, 0).astype(np.int32), is_real


def unit(rows: jax.Array) -> jax.Array:
  """Rows of length 1; a row of zeros stays."""
  length = jnp.linalg.norm(rows, axis=-1, keepdims=True)
  return rows / jnp.where(length > 0, length, 1)


def _any(rows: jax.Array) -> jax.Array:
  """bool[...], whether a row is more than zeros."""
  return jnp.any(rows != 0, axis=-1)
