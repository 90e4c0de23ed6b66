"""Several generators of one population, which win samples by votes.

A simulator, a diffusion model and a public pool may work side by side: each
keeps samples of its own kind (parameters, images, rows of the pool), and the
votes of the private records decide how many of the next population each makes.
The shares are a function of the noisy votes, and so cost no privacy; nor does
a large number of generators.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from syndata_jax import validate
from syndata_jax.errors import UserError
from syndata_jax.evolution.allocation import (
  allocation,
  drawn,
  has_members,
  reassigned,
)
from syndata_jax.evolution.api import Api, Samples
from syndata_jax.keys import stream

# Rows of a tile, over an even share of the rows of a generator.
_TILES = 4


class Mixed(NamedTuple):
  """Samples of several generators.

  Attributes:
    source: i32[B], the generator of each.
    labels: i32[B].
    parts: of each generator samples with B rows; a row counts in those of its
      own generator, and is any valid sample in the others.
  """

  source: Any
  labels: Any
  parts: tuple[Samples, ...]


class Several(Api):
  """One API of several.

  All must render the same kind of sample. Traceable if all of them are: rows
  of one generator are then gathered in tiles, so that a generator works for
  little more than its share. Over shadow models (`vmap`) each works for all
  rows.
  """

  def __init__(self, apis: Sequence[Api], floor: float = 0.05) -> None:
    """Joins them.

    Args:
      apis: G of them, at least one.
      floor: the smallest share of a generator, at most 1 / G; in every class
        at least one sample, where there are so many.

    Raises:
      UserError: no generator, or a floor that they cannot all have.
    """
    if not apis:
      raise UserError("apis=(): at least one needed")
    validate.within(0, 1 / len(apis), floor=floor)
    self.apis = tuple(apis)
    self.floor = floor
    self.traceable = all(api.traceable for api in self.apis)
    self.public = tuple(line for api in self.apis for line in api.public)

  def random(self, key: jax.Array, labels: Any) -> Mixed:
    """In turns one of each generator, so that each has its share of a class.

    Args:
      key: of the draw.
      labels: i32[B], ascending.
    """
    count, num_sources = len(labels), len(self.apis)
    rows = np.arange(count)
    parts = []
    for number, api in enumerate(self.apis):
      turns = rows[number::num_sources]
      if not turns.size:  # a valid sample all the same
        turns = rows[:1]
      samples = api.random(_key(key, number), labels[turns])
      place = np.where(rows % num_sources == number, rows // num_sources, 0)
      parts.append(_take(samples, place))
    source = np.asarray(rows % num_sources, np.int32)
    return Mixed(self._array(source), labels, tuple(parts))

  def variation(
    self, key: jax.Array, samples: Mixed, labels: Any, degree: Any
  ) -> Mixed:
    """Each sample varied by its own generator; see `Api`."""

    def by(number: int) -> Callable[..., tuple[Samples, ...]]:
      def run(
        key: jax.Array, parts: tuple[Samples, ...], labels: Any
      ) -> tuple[Samples, ...]:
        part = self.apis[number].variation(key, parts[number], labels, degree)
        return (*parts[:number], part, *parts[number + 1 :])

      return run

    parts = self._each(key, by, samples, labels)
    return Mixed(samples.source, samples.labels, parts)

  def render(self, samples: Mixed) -> Any:
    """What each generator renders.

    Raises:
      UserError: shapes or types that differ between generators.
    """

    def by(number: int) -> Callable[..., Any]:
      def run(key: jax.Array, parts: tuple[Samples, ...], labels: Any) -> Any:
        del key, labels
        return self.apis[number].render(parts[number])

      return run

    if self.traceable:
      self._check_alike(samples)
    # Rendering draws nothing: any key will do.
    return self._each(jax.random.key(0), by, samples, samples.labels)

  def inherit(
    self, key: jax.Array, parents: Mixed, weights: Any, population: Mixed
  ) -> Mixed:
    """Changes parents until each generator has its share in every class.

    A surplus parent is replaced by a sample of the other generator, of its own
    class, drawn by noisy votes from the population.

    Args:
      key: of the draw.
      parents: [B], as selected, classes ascending.
      weights: f32[S], noisy votes above the threshold of the population.
      population: [S], for which was voted.
    """
    index = _heirs(
      key,
      parents.source,
      parents.labels,
      weights,
      population.source,
      population.labels,
      len(self.apis),
      self.floor,
    )
    stacked = jax.tree.map(self._concatenate, parents, population)
    # Its source and its class come with the sample.
    return _take(stacked, index if self.traceable else np.asarray(index))

  def _each(
    self,
    key: jax.Array,
    by: Callable[[int], Callable[..., Any]],
    samples: Mixed,
    labels: Any,
  ) -> Any:
    """Gives every row to its own generator.

    Args:
      key: of the draws.
      by: of a generator's number, the function of a key, parts and labels.
      samples: [B].
      labels: i32[B].
    """
    rows = (samples.parts, labels)
    functions = [by(number) for number in range(len(self.apis))]
    if len(functions) == 1:
      return functions[0](_key(key, 0), *rows)
    if self.traceable:
      return _in_tiles(key, functions, jnp.asarray(samples.source), rows)
    source = np.asarray(samples.source)
    results, places = [], np.zeros(len(source), np.int64)
    start = 0
    for number, function in enumerate(functions):
      own = np.flatnonzero(source == number)
      if own.size:
        results.append(function(_key(key, number), *_take(rows, own)))
        places[own] = start + np.arange(own.size)
        start += own.size
    try:
      stacked = jax.tree.map(self._concatenate, *results)
    except ValueError as error:
      raise UserError(
        f"apis: must give samples of one shape ({error})"
      ) from error
    return _take(stacked, places)

  def _check_alike(self, samples: Mixed) -> None:
    """Compares what they render, without rendering."""
    kinds = [
      jax.eval_shape(api.render, part)
      for api, part in zip(self.apis, samples.parts, strict=True)
    ]
    for number, kind in enumerate(kinds):
      if kind != kinds[0]:
        raise UserError(
          f"apis: number {number + 1} renders {kind}, the first {kinds[0]};"
          " must be alike"
        )

  def _array(self, values: np.ndarray) -> Any:
    return jnp.asarray(values) if self.traceable else values

  def _concatenate(self, *leaves: Any) -> Any:
    return (jnp if self.traceable else np).concatenate(leaves)


@functools.partial(jax.jit, static_argnames=("num_sources", "floor"))
def _heirs(
  key: jax.Array,
  source: jax.Array,
  labels: jax.Array,
  weights: jax.Array,
  sources: jax.Array,
  all_labels: jax.Array,
  num_sources: int,
  floor: float,
) -> jax.Array:
  """Rows i32[B] of parents and population, one after the other.

  Args:
    key: of the draw.
    source: i32[B], of the parents.
    labels: i32[B], ascending.
    weights: f32[S], of the population.
    sources: i32[S].
    all_labels: i32[S].
    num_sources: G.
    floor: as in `allocation`.
  """
  count = source.shape[0]
  weights = jnp.asarray(weights, jnp.float32)
  groups = all_labels * num_sources + sources
  shares = allocation(weights, sources, num_sources, floor)
  each = labels[:, None] * num_sources + jnp.arange(num_sources)
  target = reassigned(source, labels, shares, has_members(each, groups))
  rows = drawn(key, labels * num_sources + target, groups, weights)
  return jnp.where(target == source, jnp.arange(count), count + rows)


def _in_tiles(
  key: jax.Array,
  functions: Sequence[Callable[..., Any]],
  source: jax.Array,
  rows: tuple[Any, ...],
) -> Any:
  """Each function of the rows of its generator, in tiles of fixed size.

  Args:
    key: of the draws; a tile has its own.
    functions: of a key and the rows of a tile, with results of one kind.
    source: i32[B], which function a row is for.
    rows: with a leading axis B.
  """
  count, num_sources = source.shape[0], len(functions)
  size = -(-count // (_TILES * num_sources))
  num_tiles = count // size + num_sources  # at most, however they are shared
  of_each = jnp.bincount(source, length=num_sources)
  tiles = -(-of_each // size)
  order = jnp.argsort(source, stable=True)
  ordered = source[order]
  rank = jnp.arange(count) - (jnp.cumsum(of_each) - of_each)[ordered]
  first = (jnp.cumsum(tiles) - tiles)[ordered] * size
  slot = jnp.zeros(count, jnp.int32).at[order].set(first + rank)
  # What fills a tile up is the first row, whose result nobody reads.
  index = jnp.zeros(num_tiles * size, jnp.int32).at[slot].set(jnp.arange(count))
  number = jnp.searchsorted(jnp.cumsum(tiles), jnp.arange(num_tiles), "right")

  def run(tile: tuple[jax.Array, jax.Array, jax.Array]) -> Any:
    key, number, index = tile
    return lax.switch(number, functions, key, *_take(rows, index))

  results = lax.map(
    run,
    (
      jax.random.split(key, num_tiles),
      jnp.minimum(number, num_sources - 1),
      index.reshape(num_tiles, size),
    ),
  )
  flat = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), results)
  return _take(flat, slot)


def _take(samples: Any, rows: Any) -> Any:
  if isinstance(rows, jax.Array):  # perhaps traced: NumPy cannot read it
    samples = jax.tree.map(jnp.asarray, samples)
  return jax.tree.map(lambda leaf: leaf[rows], samples)


def _key(key: jax.Array, number: int) -> jax.Array:
  return jax.random.fold_in(stream(key, "evolution.source"), number)
