"""The nearest candidates of private records, tile by tile, compiled.

Never all distances at once. A tile's products decide by |s|^2 - 2ps which
groups of neighbouring candidates hold the nearest; the candidates of these
groups are then ranked by differences, so that equal ones are equally near, and
of those the first counts.
"""

import functools
from collections.abc import Callable
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
    rows: f32[S+16,D], as they are ranked: unit ones or zeros if `cosine`. The
      last 16 are padding, so that a group can be read from any row on.
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
  return Candidates(
    jnp.pad(
      # What is not finite is infinitely far from all.
      jnp.where(finite[:, None], rows, jnp.inf),
      ((0, GROUP), (0, 0)),
    ),
    centre,
    tiles,
    short,
    jnp.asarray(starts, jnp.int32),
    jnp.asarray(sizes, jnp.int32),
  )


def nearest(
  embeddings: jax.Array,
  rows: jax.Array,
  classes: jax.Array,
  candidates: Candidates,
  k: int,
  metric: Metric,
) -> jax.Array:
  """Rows i32[T,B,k] of the nearest candidates of a class, the nearest first.

  Equally near ones come in their order. Where there is none, the row is S.

  Args:
    embeddings: of records, f32[N,D], finite.
    rows: of the records of a tile, i32[T,B].
    classes: i32[T], theirs.
    candidates: from `prepared`.
    k: candidates for each record.
    metric: as it was prepared.
  """
  reads = lambda tile: (
    unit(embeddings[tile]) if metric == "cosine" else embeddings[tile]
  )
  groups = _best_groups(reads, rows, classes, candidates, k + _SPARE)

  def rank(carry: None, tile: tuple[jax.Array, ...]) -> tuple[None, jax.Array]:
    of_tile, label, numbers = tile
    return carry, _ranked(reads(of_tile), label, numbers, candidates, k, metric)

  _, ranked = lax.scan(rank, None, (rows, classes, groups))
  return ranked


def _best_groups(
  reads: Callable[[jax.Array], jax.Array],
  rows: jax.Array,
  classes: jax.Array,
  candidates: Candidates,
  count: int,
) -> jax.Array:
  """The groups that the nearest candidates are in, i32[T,B,count].

  Args:
    reads: the records f32[B,D] of rows i32[B].
    rows: i32[T,B].
    classes: i32[T].
    candidates: from `prepared`.
    count: groups for each record. What there is not has a number beyond them.
  """
  num_classes, num_tiles, width, _ = candidates.tiles.shape
  num_groups = width // GROUP

  # Tiles of candidates are the outer loop: they are the larger ones to read.
  def against(
    best: tuple[jax.Array, jax.Array], tile: tuple[jax.Array, ...]
  ) -> tuple[tuple[jax.Array, jax.Array], None]:
    references, short, first = tile

    def step(
      carry: None, now: tuple[jax.Array, ...]
    ) -> tuple[None, tuple[jax.Array, jax.Array]]:
      of_tile, label, value, number = now
      label = label if num_classes > 1 else 0
      doubled = 2 * (reads(of_tile) - candidates.centre)
      product = jnp.matmul(
        doubled, references[label].T, precision=lax.Precision.HIGHEST
      )
      near = (product - short[label]).reshape(-1, GROUP, num_groups)
      # Written out, it is one loop over neighbouring numbers.
      heads = functools.reduce(jnp.maximum, [near[:, i] for i in range(GROUP)])
      there = jnp.broadcast_to(
        first + jnp.arange(num_groups, dtype=jnp.int32), heads.shape
      )
      values = jnp.concatenate([value, heads], axis=1)
      numbers = jnp.concatenate([number, there], axis=1)
      value, order = lax.top_k(values, count)
      return carry, (value, jnp.take_along_axis(numbers, order, axis=1))

    _, best = lax.scan(step, None, (rows, classes, *best))
    return best, None

  first = jnp.arange(num_tiles, dtype=jnp.int32) * num_groups
  shape = (*rows.shape, count)
  begin = (
    jnp.full(shape, -jnp.inf),
    jnp.full(shape, num_tiles * num_groups, jnp.int32),
  )
  by_tile = lambda array: jnp.moveaxis(array, 1, 0)
  (_, numbers), _ = lax.scan(
    against,
    begin,
    (by_tile(candidates.tiles), by_tile(candidates.short), first),
  )
  return numbers


def _ranked(
  records: jax.Array,
  label: jax.Array,
  groups: jax.Array,
  candidates: Candidates,
  k: int,
  metric: Metric,
) -> jax.Array:
  """The nearest within the groups, by differences: rows i32[B,k].

  Args:
    records: f32[B,D].
    label: i32[], their class.
    groups: i32[B,G].
    candidates: from `prepared`.
    k: how many.
    metric: as it was prepared.
  """
  size, begin = candidates.sizes[label], candidates.starts[label]
  total = candidates.rows.shape[0] - GROUP

  def of_one(one: tuple[jax.Array, jax.Array]) -> jax.Array:
    record, numbers = one
    inside = numbers[:, None] * GROUP + jnp.arange(GROUP)
    rows = jnp.where(inside < size, inside + begin, total)
    # Neighbouring rows are read at once.
    read = functools.partial(
      lax.dynamic_slice_in_dim, candidates.rows, slice_size=GROUP
    )
    rivals = jax.vmap(read)(jnp.minimum(inside[:, 0] + begin, total))
    gaps = jnp.square(rivals - record).sum(axis=-1)
    if metric == "cosine":
      # With a and b of length 1 it is 1 - ab = |a - b|^2 / 2.
      gaps = jnp.where(_any(record) & _any(rivals), gaps / 2, 1.0)
    gaps = jnp.where(rows < total, gaps, jnp.inf)
    # Of equal ones the first: rows ascend.
    _, places = lax.top_k(-gaps.ravel(), k)
    return rows.ravel()[places]

  # A processor reads one record's rivals at a time, a GPU those of all.
  at_once = 1 if jax.default_backend() == "cpu" else len(records)
  return lax.map(of_one, (records, jnp.sort(groups)), batch_size=at_once)


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


def _any(rows: jax.Array) -> jax.Array:
  """bool[...], whether a row is more than zeros."""
  return jnp.any(rows != 0, axis=-1)
