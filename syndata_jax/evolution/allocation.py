"""Shares of several generators in the next population, by their votes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from syndata_jax import validate


def decaying_weights(k: int) -> np.ndarray:
  """Votes of a record for its k nearest, 1, 1/2, 1/4, ..., of L2 norm 1.

  As in WASP (arXiv 2502.00245), apart from the norm, on which the guarantee
  rests: adding one record moves a histogram by the weights, in k different
  bins, and so by their L2 norm, sqrt((1 - 4^-k) / (3/4)), below 1.1547, where
  they are not scaled as here. WASP's published code calibrates its Gaussian
  noise to other numbers:

  - from 6 votes on to 2, the limit of the L1 norm: a bound, 1.73 times as much
    noise as needed. (To 4, with a second histogram of the furthest samples;
    both together have a norm below 1.633.)
  - for 2 to 5 votes to `2 - 1 / (2^(k - 1))`, meant as the L1 norm; but `^` is
    exclusive or in Python. For k = 4 that gives 1, below the true 1.1524: no
    bound, and less privacy than it says. For k = 3 it divides by zero.

  Args:
    k: votes of a record, at least 1.

  Returns:
    f64[k], the nearest first; with it, `votes` has sensitivity 1.
  """
  validate.whole(1, k=k)
  raw = 0.5 ** np.arange(k)
  return raw / np.linalg.norm(raw)


@functools.partial(jax.jit, static_argnames=("num_sources", "floor"))
def allocation(
  weights: jax.Array, source: jax.Array, num_sources: int, floor: float
) -> jax.Array:
  """Each generator's share of the next population.

  Proportional to its votes for each of its samples, so that of two equally
  good ones neither wins by being many; equal where there are no votes. None is
  given less than the floor, since what is never drawn cannot win votes.

  Args:
    weights: f32[S], noisy votes above the threshold.
    source: i32[S], the generator of each sample.
    num_sources: G.
    floor: smallest share, at most 1 / G.

  Returns:
    f32[G], sum 1.
  """
  mass = jax.ops.segment_sum(weights, source, num_sources)
  count = jax.ops.segment_sum(jnp.ones_like(weights), source, num_sources)
  merit = mass / jnp.maximum(count, 1)
  merits = merit.sum()
  share = jnp.where(merits > 0, merit / jnp.where(merits > 0, merits, 1), 0)
  share = jnp.where(merits > 0, share, 1 / num_sources)
  return floor + (1 - num_sources * floor) * share


@jax.jit
def largest_remainder(shares: jax.Array, size: jax.Array) -> jax.Array:
  """Whole numbers of a size in total, nearest to the shares.

  Where the size allows for it, none with a share above 0 gets nothing: those
  with the most give one each.

  Args:
    shares: f32[G], at least 0, sum 1.
    size: i32 scalar, at least 0.

  Returns:
    i32[G]; of equal remainders the first is rounded up.
  """
  exact = shares * size
  whole = jnp.floor(exact)
  short = size - whole.sum().astype(jnp.int32)
  # A remainder that is rounding alone must not decide.
  order = jnp.argsort(-jnp.round(exact - whole, 4), stable=True)
  rank = jnp.argsort(order)
  count = whole.astype(jnp.int32) + (rank < short)
  wanted = shares > 0
  least = jnp.where(wanted.sum() <= size, wanted.astype(jnp.int32), 0)
  count = jnp.maximum(count, least)

  def give(_: int, count: jax.Array) -> jax.Array:
    over = (count.sum() > size).astype(jnp.int32)
    return count.at[jnp.argmax(count)].add(-over)

  return lax.fori_loop(0, shares.shape[0], give, count)


@jax.jit
def reassigned(
  source: jax.Array,
  labels: jax.Array,
  shares: jax.Array,
  present: jax.Array,
) -> jax.Array:
  """The generator that each parent shall have, as few as possible changed.

  Args:
    source: i32[B], that each has.
    labels: i32[B], ascending.
    shares: f32[G], of each class.
    present: bool[B,G], whether a generator has samples of the row's class.

  Returns:
    i32[B]; in every class as many of each as `largest_remainder` says, among
    the generators present. The last ones change.
  """
  rows, num_sources = jnp.arange(source.shape[0]), shares.shape[0]
  start = jnp.searchsorted(labels, labels, side="left")
  end = jnp.searchsorted(labels, labels, side="right")
  possible = jnp.where(present, shares, 0)
  # A floor of 0 may leave those present without any share.
  possible = jnp.where(
    possible.sum(1, keepdims=True) > 0, possible, present.astype(shares.dtype)
  )
  possible /= jnp.maximum(possible.sum(1, keepdims=True), 1e-30)
  want = jax.vmap(largest_remainder)(possible, end - start)
  one_hot = jax.nn.one_hot(source, num_sources, dtype=jnp.int32)
  after = jnp.cumsum(one_hot, axis=0)
  before = after - one_hot
  have = after[end - 1] - before[start]
  stays = (before - before[start])[rows, source] < want[rows, source]
  leaves = (~stays).astype(jnp.int32)
  place = jnp.cumsum(leaves) - leaves
  place -= place[start]
  vacant = jnp.cumsum(jnp.maximum(want - have, 0), axis=1)
  other = (place[:, None] >= vacant).sum(1)
  return jnp.where(stays, source, jnp.minimum(other, num_sources - 1))


@jax.jit
def drawn(
  key: jax.Array,
  wanted: jax.Array,
  groups: jax.Array,
  weights: jax.Array,
) -> jax.Array:
  """For each wanted group one member, drawn by weight.

  Args:
    key: of the draw.
    wanted: i32[B], a group that has members.
    groups: i32[S], of each member.
    weights: f32[S], at least 0; within a group without any all are alike.

  Returns:
    i32[B], rows of the members.
  """
  order = jnp.argsort(groups, stable=True)
  start, end = _ends(groups[order], wanted)
  mass = jnp.concatenate([jnp.zeros(1), jnp.cumsum(weights[order])])
  share = jax.random.uniform(key, wanted.shape)
  inside = mass[end] - mass[start]
  by_mass = (
    jnp.searchsorted(mass, mass[start] + share * inside, side="right") - 1
  )
  alike = start + jnp.floor(share * (end - start)).astype(start.dtype)
  position = jnp.where(inside > 1e-6 * mass[-1], by_mass, alike)
  return order[jnp.clip(position, start, end - 1)]


def has_members(wanted: jax.Array, groups: jax.Array) -> jax.Array:
  """bool[...], whether a group i32[...] is among those of members i32[S]."""
  start, end = _ends(jnp.sort(groups), wanted)
  return end > start


def _ends(groups: jax.Array, wanted: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Where groups i32[...] begin and end in sorted ones i32[S]."""
  return (
    jnp.searchsorted(groups, wanted, side="left"),
    jnp.searchsorted(groups, wanted, side="right"),
  )
