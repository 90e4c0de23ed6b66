"""What a run works with: generator, embedding, records, compiled votes."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from syndata_jax.errors import UserError
from syndata_jax.evolution.api import Api, Checked, Samples, checked
from syndata_jax.evolution.embedding import Embedding
from syndata_jax.evolution.histogram import Records
from syndata_jax.evolution.iteration import (
  advance,
  begin,
  embedded,
  noise_of,
  vote,
  voted,
)
from syndata_jax.evolution.options import EvolutionOptions
from syndata_jax.evolution.population import Population, labels_of


class Tools(NamedTuple):
  """What a run works with."""

  api: Checked
  embed: Embedding
  options: EvolutionOptions
  records: Records
  key: jax.Array

  @property
  def is_whole(self) -> bool:
    """Whether an iteration is one compiled program."""
    return self.api.traceable and self.embed.traceable

  def like(self, sizes: tuple[int, ...]) -> Samples:
    """Samples of the generator's structure, as few as can be."""
    labels = labels_of(sizes)
    if self.api.traceable:
      return jax.eval_shape(self.api.random, self.key, labels)
    return self.api.random(self.key, labels[:1])


def prepared(api: Api, embed: Embedding, options: EvolutionOptions) -> Checked:
  """The generator, checked; compiled by itself if its embedding is not.

  Args:
    api: the generator.
    embed: the embedding.
    options: settings.
  """
  safe = checked(api, seconds=options.api_seconds)
  if not api.traceable or embed.traceable:
    return safe
  return dataclasses.replace(safe, api=_Compiled(safe))


def voting(
  tools: Tools, sizes: tuple[int, ...]
) -> Callable[[Population, jax.Array, float, float], jax.Array]:
  """`(population, key, degree, noise multiplier) ->` the noisy histogram.

  One compiled program for each shape of a population; where generator or
  embedding are not traceable, all behind the embedded candidates is.

  Args:
    tools: of the run.
    sizes: parents of each class.
  """
  api, embed, options, records, _ = tools
  if tools.is_whole:
    whole = jax.jit(vote(api, embed, options, sizes))
    return lambda population, key, degree, noise: whole(
      population, records, key, np.float32(degree), noise_of(options, noise)
    )
  of_candidates = embedded(api, embed, options)

  def on_host(
    population: Population, key: jax.Array, degree: float, noise: float
  ) -> jax.Array:
    candidates = of_candidates(population, key, degree)
    expected = len(population.labels), records.embeddings.shape[1]
    if candidates.shape != expected or not np.isfinite(candidates).all():
      raise UserError(
        f"embedding={embed.name}: gave {list(candidates.shape)} for candidates:"
        f" must be finite numbers {list(expected)}"
      )
    noise_drawn = noise_of(options, noise)
    return voted(options, sizes, records, candidates, key, noise_drawn)

  return on_host


def beginning(
  tools: Tools, sizes: tuple[int, ...]
) -> Callable[[jax.Array], Population]:
  """`iteration.begin`, compiled where it can be.

  Args:
    tools: of the run.
    sizes: parents of each class.
  """
  function = begin(tools.api, tools.options, sizes)
  return jax.jit(function) if tools.api.traceable else function


def advancing(
  tools: Tools, sizes: tuple[int, ...]
) -> Callable[..., Population]:
  """`iteration.advance`, compiled where it can be.

  Args:
    tools: of the run.
    sizes: parents of each class.
  """
  api, embed, options, _, _ = tools
  function = advance(api, options, sizes, embed)
  reads = embed.traceable or options.selection != "geometry"
  return jax.jit(function) if api.traceable and reads else function


class _Compiled(Api):
  """A traceable generator, each method compiled."""

  def __init__(self, api: Api) -> None:
    self.traceable, self.public = True, tuple(api.public)
    self._api = api
    self._random = jax.jit(api.random)
    self._variation = jax.jit(api.variation)
    self._render = jax.jit(api.render)
    self._inherit = jax.jit(api.inherit)

  def random(self, key: jax.Array, labels: jax.Array) -> Samples:
    return self._random(key, labels)

  def variation(
    self,
    key: jax.Array,
    samples: Samples,
    labels: jax.Array,
    degree: float | jax.Array,
  ) -> Samples:
    return self._variation(key, samples, labels, degree)

  def render(self, samples: Samples) -> Any:
    return self._render(samples)

  def inherit(
    self,
    key: jax.Array,
    parents: Samples,
    weights: jax.Array,
    population: Samples,
  ) -> Samples:
    return self._inherit(key, parents, weights, population)
