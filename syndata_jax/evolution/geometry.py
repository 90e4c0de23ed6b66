"""Parents that keep every cluster of votes: the geometry-aware rule.

Sampling and ranking can lose a small cluster for good. Here bins whose votes
stand out of the noise are demand, and parents are placed so that the demand is
near to one: a weighted k-median, begun greedily and improved by swaps; further
parents follow the demand that each serves. After McMillan, Talwar and Zhou,
"Private Evolution as Learning-Augmented Clustering", who show that local search
on a cost like it keeps every cluster of about sqrt(n) votes; theirs truncates
distances, this one leaves out what does not stand out.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from syndata_jax.evolution.options import EvolutionOptions

# Probability that noise alone makes a bin stand out, in the whole run.
_BETA = 0.05
# Bins of a class that are looked at: the largest ones. All pairs of them are.
_MOST_BINS = 512
# Improvements of the greedy choice.
_MOST_SWAPS = 64
# A swap must gain this share of the cost, or rounding decides.
_LEAST_GAIN = 1e-4


class _Served(NamedTuple):
  """How the parents serve the bins."""

  place: jax.Array  # i32[N], of the centre that is nearest to each bin
  distance: jax.Array  # f32[N], to it
  second: jax.Array  # f32[N], the distance to the next one, infinite for none


def level(
  options: EvolutionOptions, num_bins: int, stddev: jax.Array | float
) -> jax.Array:
  """Votes above which a bin stands out of its noise in the whole run, tau.

  sigma sqrt(2 log(6 T m / beta)), in votes.

  Args:
    options: with the number of iterations T.
    num_bins: m.
    stddev: sigma.
  """
  trials = 6 * options.num_iterations * num_bins / _BETA
  return jnp.asarray(stddev) * math.sqrt(2 * math.log(trials))


def parents(
  most: int, embeddings: jax.Array, weights: jax.Array, count: jax.Array
) -> jax.Array:
  """Places of the parents of one class, i32[M]; the first `count` count.

  Args:
    most: M.
    embeddings: f32[C,D].
    weights: f32[C], at least 0, somewhere above.
    count: i32[], parents of this class, at most M.

  Returns:
    Every bin that is a centre at least once, if there are no more of them than
    parents; the others in proportion to the demand that centres serve.
  """
  size = min(_MOST_BINS, len(weights))
  demand, places = lax.top_k(weights, size)
  points = embeddings[places]
  distances = _distances(points)
  is_demand = demand > 0
  # Parents are bins that stand out.
  distances = jnp.where(is_demand, distances, distances.max())
  is_open = jnp.arange(min(most, size)) < count
  centres = _greedy(is_open, distances, demand)
  centres = _swapped(centres, is_open, distances, demand)
  served = _served(distances, centres, is_open)
  flow = jnp.zeros(size).at[centres[served.place]].add(demand)
  return places[_repeated(most, flow, count)]


def _greedy(
  is_open: jax.Array, distances: jax.Array, demand: jax.Array
) -> jax.Array:
  """Centres i32[M], each the one that lowers the cost most.

  Args:
    is_open: bool[M], centres that may be; the first one stands in for others,
      and for those that would lower nothing.
    distances: f32[N,N].
    demand: f32[N].
  """
  first = jnp.argmin(distances @ demand).astype(jnp.int32)

  def step(nearest: jax.Array, may: jax.Array) -> tuple[jax.Array, jax.Array]:
    gains = demand @ jnp.maximum(nearest[:, None] - distances, 0)
    # A bin at another one's place is served by it.
    best = jnp.argmax(gains).astype(jnp.int32)
    helps = (gains[best] > 0) & may
    chosen = jnp.where(helps, best, first)
    return jnp.minimum(nearest, distances[:, chosen]), chosen

  _, others = lax.scan(step, distances[:, first], is_open[1:])
  return jnp.concatenate([first[None], others])


def _swapped(
  centres: jax.Array,
  is_open: jax.Array,
  distances: jax.Array,
  demand: jax.Array,
) -> jax.Array:
  """Centres after the best swaps of one for a bin that is none.

  Args:
    centres: i32[M].
    is_open: bool[M], which of them are.
    distances: f32[N,N].
    demand: f32[N].
  """
  places = jnp.arange(len(centres))

  def goes_on(state: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
    _, improved, swaps = state
    return improved & (swaps < _MOST_SWAPS)

  def swap(
    state: tuple[jax.Array, jax.Array, jax.Array],
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    centres, _, swaps = state
    served = _served(distances, centres, is_open)
    # With a new centre j each bin moves to it if that is nearer; if its own
    # centre goes, it moves to j or to its second one.
    moved = jnp.minimum(distances, served.distance[:, None])
    joins = demand @ (moved - served.distance[:, None])
    left = jnp.minimum(distances, served.second[:, None]) - moved
    of_place = served.place[:, None] == places
    leaves = (of_place * demand[:, None]).T @ left
    change = jnp.where(is_open[:, None], joins + leaves, jnp.inf)
    best = jnp.argmin(change)
    place, bin_ = best // len(demand), best % len(demand)
    cost = demand @ served.distance
    improves = change.ravel()[best] < -_LEAST_GAIN * cost
    changed = centres.at[place].set(bin_.astype(jnp.int32))
    return jnp.where(improves, changed, centres), improves, swaps + 1

  start = centres, jnp.asarray(True), jnp.asarray(0)
  return lax.while_loop(goes_on, swap, start)[0]


def _served(
  distances: jax.Array, centres: jax.Array, is_open: jax.Array
) -> _Served:
  """Who serves each bin; of equally near centres the first one.

  Args:
    distances: f32[N,N].
    centres: i32[M].
    is_open: bool[M], which of them are.
  """
  to_centres = jnp.where(is_open, distances[:, centres], jnp.inf)
  place = jnp.argmin(to_centres, axis=1)
  others = jnp.where(
    jnp.arange(len(centres)) == place[:, None], jnp.inf, to_centres
  )
  return _Served(place, to_centres.min(axis=1), others.min(axis=1))


def _repeated(most: int, flow: jax.Array, count: jax.Array) -> jax.Array:
  """Bins i32[M]: each with flow once, then in proportion to it.

  Args:
    most: M.
    flow: f32[N], the demand that each serves.
    count: i32[], of the result that count; at least as many as have a flow.
  """
  has = flow > 0
  rest = jnp.maximum(count - has.sum(), 0)
  exact = rest * flow / jnp.maximum(flow.sum(), jnp.finfo(flow.dtype).tiny)
  whole = jnp.floor(exact)
  # Largest remainders; the order of equal ones is that of the bins.
  order = jnp.argsort(whole - exact, stable=True)
  missing = rest - whole.sum()
  extra = jnp.zeros_like(flow).at[order].set(jnp.arange(len(flow)) < missing)
  copies = (has + whole + extra).astype(jnp.int32)
  return jnp.repeat(
    jnp.arange(len(flow), dtype=jnp.int32), copies, total_repeat_length=most
  )


def _distances(points: jax.Array) -> jax.Array:
  """Euclidean, between all pairs of points f32[N,D]."""
  centred = points - points.mean(axis=0)
  square = jnp.square(centred).sum(axis=1)
  products = jnp.matmul(centred, centred.T, precision=lax.Precision.HIGHEST)
  gaps = square[:, None] + square - 2 * products
  gaps = jnp.where(jnp.eye(len(points), dtype=bool), 0, gaps)
  return jnp.sqrt(jnp.maximum(gaps, 0))
