"""The vote: how many private records are nearest to each candidate."""

import functools
import math
from typing import NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from syndata_jax import validate
from syndata_jax.errors import UserError
from syndata_jax.evolution import nearest
from syndata_jax.images.neighbours import Metric
from syndata_jax.keys import stream
from syndata_jax.privacy.discrete_gaussian import NoiseTable, draw

# Records in a tile: enough for fast products, few enough for little padding.
_LEAST, _MOST = 32, 512


class Records(NamedTuple):
  """Private records, grouped for voting within their classes.

  The shapes follow from how many records and classes there are and from B,
  never from how many records a class has: T is ceil(P / B) + K.
  """

  embeddings: jax.Array | np.ndarray  # f32[N,D]
  rows: jax.Array | np.ndarray  # i32[T,B], of one class each; -1 for none
  classes: jax.Array | np.ndarray  # i32[T]


def group(
  embeddings: np.ndarray,
  labels: np.ndarray,
  num_classes: int,
  tile: int | None = None,
  members: np.ndarray | None = None,
) -> Records:
  """Records sorted into tiles of one class each.

  Args:
    embeddings: f32[N,D].
    labels: i32[N].
    num_classes: K.
    tile: B; None to choose it by the numbers of records and classes.
    members: rows of those who vote, i32[P]; all of them by default.

  Raises:
    UserError: labels beyond the classes, or not one for each record.
  """
  labels = np.asarray(labels)
  if labels.shape != (len(embeddings),):
    raise UserError(
      f"labels {labels.shape}: must be one for each of {len(embeddings)}"
      " records"
    )
  if len(labels) and not (labels.min() >= 0 and labels.max() < num_classes):
    raise UserError(f"labels: must be in [0, {num_classes - 1}]")
  rows = np.arange(len(labels)) if members is None else np.asarray(members)
  size = tile or tile_size(len(rows), num_classes)
  count = -(-len(rows) // size) + num_classes
  tiles = np.full((count, size), -1, np.int32)
  classes = np.zeros(count, np.int32)
  begin = 0
  for label in range(num_classes):
    of_class = rows[labels[rows] == label]
    end = begin + -(-len(of_class) // size)
    tiles[begin:end].flat[: len(of_class)] = of_class
    classes[begin:end] = label
    begin = end
  return Records(np.asarray(embeddings, np.float32), tiles, classes)


def tile_size(num_records: int, num_classes: int) -> int:
  """B for so many records, whatever their classes."""
  even = max(1, num_records // (2 * num_classes))
  return min(max(1 << (even.bit_length() - 1), _LEAST), _MOST)


@functools.partial(jax.jit, static_argnames=("k", "metric"))
def votes(
  private: ArrayLike,
  synthetic: ArrayLike,
  k: int = 1,
  metric: Metric = "l2",
  weights: ArrayLike | None = None,
) -> jax.Array:
  """The clean histogram of votes: not private, for tests and experiments.

  Each private row votes for its k nearest synthetic rows, of equally near ones
  for the first; its votes have L2 norm 1.

  Args:
    private: f32[P,D].
    synthetic: f32[S,D].
    k: 1 to S.
    metric: `l2`, Euclidean; `cosine`, 1 minus the cosine, which is 1 where a
      row is all zeros.
    weights: of the nearest, the second, ..., f32[k], made L2 norm 1; equal
      ones by default.

  Returns:
    f32[S].

  Raises:
    UserError: another metric, a k out of range, or shapes that do not match.
  """
  private, synthetic = jnp.asarray(private), jnp.asarray(synthetic)
  if private.ndim != 2 or private.shape[1:] != synthetic.shape[1:]:
    raise UserError(
      f"private {private.shape} and synthetic {synthetic.shape}: [P, D] and"
      " [S, D] needed"
    )
  size = tile_size(len(private), 1)
  count = -(-len(private) // size)
  rows = np.full(count * size, -1, np.int32)
  rows[: len(private)] = np.arange(len(private))
  records = Records(
    private.astype(jnp.float32),
    rows.reshape(count, size),
    np.zeros(count, np.int32),
  )
  counts = _counts(records, synthetic, (len(synthetic),), k, metric)
  return _weighted(counts, k, weights)


def noisy_votes(
  key: jax.Array,
  records: Records,
  candidates: jax.Array,
  sizes: tuple[int, ...],
  stddev: ArrayLike | NoiseTable,
  k: int = 1,
  metric: Metric = "l2",
  weights: ArrayLike | None = None,
  discrete: bool = False,
) -> jax.Array:
  """The histogram of votes with noise on every bin: the release.

  A record votes within its class. What it is computed from stays inside: call
  it within a compiled program. Adding or removing a record moves the votes by
  an L2 norm of 1 at most.

  Args:
    key: of the iteration. The noise is drawn from a stream of its own, another
      one for each standard deviation, so that two runs that differ in it do
      not share noise that could be solved for.
    records: from `group`.
    candidates: embeddings f32[S,D], sorted by class.
    sizes: candidates of each class; static.
    stddev: of the noise, in units of a record's vote; a table of `noise_table`
      if discrete, of sqrt(k) times that.
    k: candidates that a record votes for, fewer in a class that has fewer.
    metric: `l2` or `cosine`.
    weights: as in `votes`; none if discrete.
    discrete: whether the noise is a whole number of votes.

  Returns:
    f32[S].

  Raises:
    UserError: a k above the candidates of every class, or weights with discrete
      noise.
  """
  counts = _counts(records, candidates, sizes, k, metric)
  noise_key = stream(key, "evolution.noise")
  if discrete:
    if weights is not None or not isinstance(stddev, NoiseTable):
      raise UserError("noise='discrete': needs whole votes and a noise table")
    noise = draw(noise_key, stddev, counts.shape[1:])
    return (counts.sum(axis=0) + noise).astype(jnp.float32) / math.sqrt(k)
  deviation = jnp.asarray(stddev, jnp.float32)
  bits = lax.bitcast_convert_type(deviation, jnp.uint32)
  noise = jax.random.normal(
    jax.random.fold_in(noise_key, bits), counts.shape[1:], jnp.float32
  )
  if weights is not None:
    return _weighted(counts, k, weights) + deviation * noise
  # Whole numbers have no rounding that could exceed the sensitivity.
  scale = math.sqrt(k)
  whole = counts.sum(axis=0).astype(jnp.float32)
  return (whole + scale * deviation * noise) / scale


def _counts(
  records: Records,
  candidates: jax.Array,
  sizes: tuple[int, ...],
  k: int,
  metric: Metric,
) -> jax.Array:
  """How many records have each candidate as nearest, second, ...: i32[k,S].

  Whole numbers, so that the order of addition decides nothing.
  """
  validate.one_of(get_args(Metric), metric=metric)
  validate.whole(1, k=k)
  if k > max(sizes):
    raise UserError(
      f"k={k}: must be at most {max(sizes)}, the candidates of a class"
    )
  prepared = nearest.prepared(
    jnp.asarray(candidates, jnp.float32), sizes, metric
  )
  embeddings = jnp.asarray(records.embeddings, jnp.float32)

  chosen = nearest.nearest(
    embeddings,
    jnp.asarray(records.rows),
    jnp.asarray(records.classes),
    prepared,
    k,
    metric,
  )
  is_vote = (jnp.asarray(records.rows)[..., None] >= 0) & (chosen >= 0)
  chosen = jnp.where(is_vote, chosen, sum(sizes))
  # What votes for nobody lies beyond the last row.
  total = jnp.zeros((k, sum(sizes)), jnp.int32)
  return total.at[jnp.arange(k), chosen].add(1, mode="drop")


def _weighted(
  counts: jax.Array, k: int, weights: ArrayLike | None
) -> jax.Array:
  """Counts i32[k,S] in votes of L2 norm 1, f32[S].

  Args:
    counts: how often each is the nearest, the second, ...
    k: ranks.
    weights: f32[k]; equal ones by default.
  """
  if weights is None:
    return counts.sum(axis=0).astype(jnp.float32) / math.sqrt(k)
  given = jnp.asarray(weights, jnp.float32)
  if given.shape != (k,):
    raise UserError(f"weights {given.shape}: must be ({k},), one a rank")
  shares = given / jnp.linalg.norm(given)
  return jnp.einsum("k,ks->s", shares, counts, precision="highest")
