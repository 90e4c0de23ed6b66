"""Nearest neighbours on the device, tile by tile: never all distances at once.

A tile's distances come from one product of matrices. In |q|^2 - 2 qr + |r|^2
two equal rows leave nothing but rounding, so the products choose candidates
alone; their distances are then those of the differences, and that of a copy is
exactly 0.
"""

import functools
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from syndata_jax import validate
from syndata_jax.errors import UserError

Metric = Literal["l2", "cosine"]

# Rows and columns of a tile: 32 MiB of distances.
_QUERIES, _REFERENCES = 1024, 8192
# Above it two tiles of references might be too small for so many neighbours.
_MOST = 1000
# Candidates beyond the k, for those that rounding puts in the wrong order.
_SPARE = 4
# Queries whose differences to their candidates are held at once.
_DIFFERENCES = 16


def nearest(
  queries: np.ndarray,
  references: np.ndarray,
  k: int = 1,
  metric: Metric = "l2",
) -> tuple[np.ndarray, np.ndarray]:
  """The k nearest references of each query, the nearest first.

  Equally near ones come in the order of the references.

  Args:
    queries: real[P,D], finite.
    references: real[S,D], finite.
    k: 1 to S, and to 1000.
    metric: `l2`, Euclidean; `cosine`, 1 minus the cosine, which is 1 where a
      row is all zeros.

  Returns:
    Distances f32[P,k], ascending, and rows of the references i32[P,k].

  Raises:
    UserError: another metric, a k out of range, or shapes that do not match.
  """
  validate.one_of(get_args(Metric), metric=metric)
  validate.whole(1, k=k)
  queries, references = (
    np.asarray(rows, np.float32) for rows in (queries, references)
  )
  if queries.ndim != 2 or queries.shape[1:] != references.shape[1:]:
    raise UserError(
      f"queries {queries.shape} and references {references.shape}: [P, D] and"
      " [S, D] needed"
    )
  validate.within(1, min(len(references), _MOST), k=k)
  count, width = queries.shape
  if not count:
    return np.zeros((0, k), np.float32), np.zeros((0, k), np.int32)
  if metric == "cosine":
    queries, references = _unit(queries), _unit(references)
  else:
    # Distances stay as they are, and of small numbers less is rounded.
    centre = references.mean(axis=0)
    queries, references = queries - centre, references - centre
  tiles, squares = _tiles(references, metric)
  batch = min(_QUERIES, 1 << (count - 1).bit_length())
  filled = np.zeros((-(-count // batch) * batch, width), np.float32)
  filled[:count] = queries
  parts = [
    jax.device_get(_nearest(part, tiles, squares, k, metric))
    for part in filled.reshape(-1, batch, width)
  ]
  distances, rows = map(np.concatenate, zip(*parts, strict=True))
  return distances[:count], rows[:count]


def _tiles(
  references: np.ndarray, metric: Metric
) -> tuple[jax.Array, jax.Array]:
  """References f32[T,R,D], and what a product is short of a distance f32[T,R].

  What fills up the last tile is infinitely far.
  """
  size, width = references.shape
  count = -(-size // _REFERENCES)
  each = -(-size // count)
  rows = np.zeros((count * each, width), np.float32)
  rows[:size] = references
  short = np.full(count * each, np.inf, np.float32)
  # Of unit rows it is the same number for all but those of zeros, which the
  # product alone puts where they belong.
  short[:size] = 0 if metric == "cosine" else np.square(references).sum(axis=1)
  return (
    jnp.asarray(rows.reshape(count, each, width)),
    jnp.asarray(short.reshape(count, each)),
  )


@functools.partial(jax.jit, static_argnames=("k", "metric"))
def _nearest(
  queries: jax.Array,
  tiles: jax.Array,
  short: jax.Array,
  k: int,
  metric: Metric,
) -> tuple[jax.Array, jax.Array]:
  """`nearest` of one batch.

  Args:
    queries: f32[B,D].
    tiles: f32[T,R,D].
    short: f32[T,R].
    k: as in `nearest`.
    metric: as in `nearest`; rows are unit ones or zeros if `cosine`.
  """
  _, size, width = tiles.shape
  rows = _candidates(queries, tiles, short, min(k + _SPARE, size))
  references = tiles.reshape(-1, width)

  def differences(one: tuple[jax.Array, jax.Array]) -> jax.Array:
    query, candidates = one
    return jnp.square(references[candidates] - query).sum(axis=1)

  gaps = lax.map(differences, (queries, rows), batch_size=_DIFFERENCES)
  if metric == "l2":
    distances = jnp.sqrt(gaps)
  else:
    # With a and b of length 1 it is 1 - ab = |a - b|^2 / 2.
    both = _any(queries)[:, None] & _any(references)[rows]
    distances = jnp.where(both, gaps / 2, 1.0)
  distances, rows = lax.sort((distances, rows), num_keys=2)
  return distances[:, :k], rows[:, :k]


def _candidates(
  queries: jax.Array, tiles: jax.Array, short: jax.Array, count: int
) -> jax.Array:
  """Rows of the nearest references by products, i32[B,count].

  Args:
    queries: f32[B,D].
    tiles: f32[T,R,D].
    short: f32[T,R].
    count: at most R, and at most as many as there are references.
  """

  def step(
    best: tuple[jax.Array, jax.Array], tile: tuple[jax.Array, ...]
  ) -> tuple[tuple[jax.Array, jax.Array], None]:
    references, of_each, first = tile
    product = jnp.matmul(queries, references.T, precision=lax.Precision.HIGHEST)
    value, place = lax.top_k(2 * product - of_each, count)
    values = jnp.concatenate([best[0], value], axis=1)
    places = jnp.concatenate([best[1], place + first], axis=1)
    value, order = lax.top_k(values, count)
    return (value, jnp.take_along_axis(places, order, axis=1)), None

  first = jnp.arange(tiles.shape[0], dtype=jnp.int32) * tiles.shape[1]
  shape = (queries.shape[0], count)
  begin = jnp.full(shape, -jnp.inf), jnp.zeros(shape, jnp.int32)
  (_, rows), _ = lax.scan(step, begin, (tiles, short, first))
  return rows


def _unit(rows: np.ndarray) -> np.ndarray:
  """Rows of length 1; a row of zeros stays."""
  length = np.linalg.norm(rows, axis=1, keepdims=True)
  return rows / np.where(length > 0, length, 1)


def _any(rows: jax.Array) -> jax.Array:
  """bool[...], whether a row is more than zeros."""
  return jnp.any(rows != 0, axis=1)
