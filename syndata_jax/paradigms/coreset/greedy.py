"""Greedy selection in an embedding: herding and k-center.

Both add one example at a time to every group at once, and what is picked
first never depends on how many more follow. So a pick's rank is a score, and
groups of different size need no loops of different length.
"""

import jax
import jax.numpy as jnp
from jax import lax


def herding(
  embedding: jax.Array, group: jax.Array, num_groups: int, picks: int
) -> jax.Array:
  """Keeps the mean of the picked close to the mean of the group.

  Pick k + 1 is the example whose embedding is nearest to
  (k + 1) mean - sum of the picked; the first of equals. Sources: Welling,
  ICML 2009; the classical direction of Rebuffi et al., arXiv 1611.07725,
  algorithm 4, without their normalisation. (DeepCore takes the farthest.)

  Args:
    embedding: f32[n,D].
    group: i32[n] in [0, num_groups).
    num_groups: G.
    picks: T, of each group, or all of a smaller one.

  Returns:
    f32[n]: T for the first pick, T - 1 for the second, ... 0 for the rest.
  """
  size = jax.ops.segment_sum(jnp.ones_like(embedding[:, 0]), group, num_groups)
  total = jax.ops.segment_sum(embedding, group, num_groups)
  mean = total / jnp.maximum(size, 1)[:, None]

  def pick(
    carry: tuple[jax.Array, jax.Array], _: None
  ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
    target, left = carry
    distance = ((embedding - target[group]) ** 2).sum(-1)
    best = _best(jnp.where(left, -distance, -jnp.inf), group, num_groups)
    target = target + mean - _rows(embedding, best)
    return (target, left.at[best].set(False, mode="drop")), best

  _, order = lax.scan(pick, (mean, group >= 0), length=picks)
  return _ranks(order, group.shape[0])


def k_center(
  key: jax.Array,
  embedding: jax.Array,
  group: jax.Array,
  num_groups: int,
  picks: int,
) -> jax.Array:
  """Farthest-point traversal: covers each group by balls of one radius.

  The first pick is random, then always the example farthest from its nearest
  picked one; the first of equals. Source: Sener and Savarese, arXiv
  1708.00489, algorithm 1.

  Args:
    key: draws the first picks.
    embedding: f32[n,D].
    group: i32[n] in [0, num_groups).
    num_groups: G.
    picks: T, of each group, or all of a smaller one.

  Returns:
    f32[n]: T for the first pick, T - 1 for the second, ... 0 for the rest.
  """

  def nearest(distance: jax.typing.ArrayLike, picked: jax.Array) -> jax.Array:
    centre = _rows(embedding, picked)[group]
    distance = jnp.minimum(distance, ((embedding - centre) ** 2).sum(-1))
    return distance.at[picked].set(-jnp.inf, mode="drop")

  def pick(distance: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
    best = _best(distance, group, num_groups)
    return nearest(distance, best), best

  first = _best(jax.random.uniform(key, group.shape), group, num_groups)
  _, rest = lax.scan(pick, nearest(jnp.inf, first), length=picks - 1)
  return _ranks(jnp.concatenate([first[None], rest]), group.shape[0])


def _best(values: jax.Array, group: jax.Array, num_groups: int) -> jax.Array:
  """The index of each group's largest value, i32[G]; n where all are -inf."""
  mine = group == jnp.arange(num_groups)[:, None]
  values = jnp.where(mine, values, -jnp.inf)
  found = values.max(axis=1) > -jnp.inf
  return jnp.where(found, values.argmax(axis=1), group.shape[0])


def _rows(embedding: jax.Array, index: jax.Array) -> jax.Array:
  return embedding.at[index].get(mode="fill", fill_value=0)


def _ranks(order: jax.Array, size: int) -> jax.Array:
  """Picks i32[T,G] to scores f32[n]."""
  picks = order.shape[0]
  rank = jnp.arange(picks, 0, -1, dtype=jnp.float32)[:, None]
  return jnp.zeros(size).at[order].set(rank, mode="drop")
