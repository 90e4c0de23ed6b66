"""Candidates, sorted by class, and how the next ones come from parents."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax.evolution.api import Api, Samples
from syndata_jax.evolution.options import EvolutionOptions
from syndata_jax.keys import stream


class Population(NamedTuple):
  """Candidates; the sizes of classes are public."""

  samples: Samples  # a leading axis S, sorted by class
  labels: jax.Array  # i32[S]
  ancestor: jax.Array  # i32[S], the random sample that each descends from


def begin(
  api: Api, options: EvolutionOptions, sizes: tuple[int, ...], key: jax.Array
) -> Population:
  """Random samples, and F0 variations of each.

  Args:
    api: the generator.
    options: settings.
    sizes: parents of each class.
    key: of what is drawn.
  """
  labels = labels_of(sizes)
  samples = api.random(stream(key, "evolution.random"), labels)
  parents = Population(samples, labels, jnp.arange(len(labels), dtype=np.int32))
  votes = jnp.zeros(len(labels), jnp.float32)
  return descend(
    api,
    parents,
    parents,
    votes,
    sizes,
    key,
    options.degree(0),
    options.initial_variations,
    keep=True,
  )


def descend(
  api: Api,
  parents: Population,
  population: Population,
  weights: jax.Array,
  sizes: tuple[int, ...],
  key: jax.Array,
  degree: float | jax.Array,
  variations: int,
  keep: bool,
) -> Population:
  """The next population: F variations of each parent, and parents kept.

  Args:
    api: the generator.
    parents: selected ones.
    population: of which they were selected.
    weights: votes of the population, f32[S].
    sizes: parents of each class.
    key: of what is drawn.
    degree: of the variations.
    variations: F, 0 or more.
    keep: whether parents are part of it.

  Returns:
    Sorted by class; within a class the parents first, if kept, then the first
    variation of each, then the second.
  """
  parts = [parents] if keep else []
  if variations:
    heirs = api.inherit(
      stream(key, "evolution.inherit"),
      parents.samples,
      weights,
      population.samples,
    )
    rows = np.tile(np.arange(sum(sizes)), variations)
    labels, ancestor = parents.labels[rows], parents.ancestor[rows]
    varied = api.variation(
      stream(key, "evolution.vary"), taken(heirs, rows), labels, degree
    )
    parts.append(Population(varied, labels, ancestor))
  joined = jax.tree.map(lambda *leaves: _joined(leaves), *parts)
  return taken(joined, _by_class(sizes, variations + keep))


def released_rows(sizes: tuple[int, ...], fold: int) -> np.ndarray:
  """Rows of a population that are released: the first block of each class.

  The parents where they are kept, else the first variation of each.

  Args:
    sizes: parents of each class.
    fold: candidates for each of them.
  """
  starts = fold * (np.cumsum(sizes) - sizes)
  return np.concatenate(
    [np.arange(m) + start for m, start in zip(sizes, starts, strict=True)]
  )


def labels_of(sizes: tuple[int, ...]) -> jax.Array:
  """Labels i32[S] of a population of these class sizes."""
  return jnp.asarray(np.repeat(np.arange(len(sizes)), sizes).astype(np.int32))


def taken(tree: Any, rows: np.ndarray | jax.Array) -> Any:
  """These rows of every array; arrays of strings stay on the host."""

  def take(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray) and not isinstance(rows, jax.core.Tracer):
      return leaf[np.asarray(rows)]
    return jnp.asarray(leaf)[rows]

  return jax.tree.map(take, tree)


def num_ancestors(population: Population) -> int:
  """Random samples of which somebody is left."""
  return len(np.unique(np.asarray(population.ancestor)))


def _joined(leaves: tuple[Any, ...]) -> Any:
  if all(isinstance(leaf, np.ndarray) for leaf in leaves):
    return np.concatenate(leaves)
  return jnp.concatenate(leaves)


def _by_class(sizes: tuple[int, ...], fold: int) -> np.ndarray:
  """Where each row of a population sorted by class comes from.

  It comes from as many blocks of all parents as `fold` says.
  """
  labels = np.tile(np.repeat(np.arange(len(sizes)), sizes), fold)
  return np.argsort(labels, kind="stable")
