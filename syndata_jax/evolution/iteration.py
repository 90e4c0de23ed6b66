"""The parts of an iteration: pure functions of one run, to compile and vmap.

A shadow model's evolution is these with a leading axis on population, rows of
records, key; whoever has no traceable generator calls them on the host.
"""

import functools
import operator
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from syndata_jax.evolution import population as populations
from syndata_jax.evolution.allocation import decaying_weights
from syndata_jax.evolution.api import Api, Samples
from syndata_jax.evolution.embedding import Embedding
from syndata_jax.evolution.histogram import Records, noisy_votes
from syndata_jax.evolution.options import EvolutionOptions
from syndata_jax.evolution.population import Population
from syndata_jax.evolution.selection import kept_votes, select
from syndata_jax.keys import stream
from syndata_jax.privacy.discrete_gaussian import NoiseTable, noise_table

Noise = jax.Array | np.ndarray | float | NoiseTable


def key_of(key: jax.Array, iteration: int | jax.Array) -> jax.Array:
  """The key of one iteration, of a run's."""
  return jax.random.fold_in(stream(key, "evolution.iteration"), iteration)


def begin(
  api: Api, options: EvolutionOptions, sizes: tuple[int, ...]
) -> Callable[[jax.Array], Population]:
  """`(key) ->` the first population.

  Args:
    api: the generator.
    options: settings.
    sizes: parents of each class, sum m, as below.
  """
  return lambda key: populations.begin(api, options, sizes, key)


def embedded(
  api: Api, embed: Embedding, options: EvolutionOptions
) -> Callable[[Population, jax.Array, float | jax.Array], jax.Array]:
  """`(population, key, degree) ->` what stands for candidates, f32[S,D].

  With look-ahead the mean embedding of L variations of each, else its own.

  Args:
    api: the generator.
    embed: the embedding.
    options: settings.
  """

  def embeds(samples: Samples) -> jax.Array:
    return jnp.asarray(embed.embed(api.render(samples)), jnp.float32)

  def of_candidates(
    population: Population, key: jax.Array, degree: float | jax.Array
  ) -> jax.Array:
    if not options.look_ahead:
      return embeds(population.samples)

    def one(number: int | jax.Array) -> jax.Array:
      key_of_one = jax.random.fold_in(stream(key, "evolution.ahead"), number)
      varied = api.variation(
        key_of_one, population.samples, population.labels, degree
      )
      return embeds(varied)

    if not (api.traceable and embed.traceable):
      parts = map(one, range(options.look_ahead))
      return functools.reduce(operator.add, parts) / options.look_ahead
    total = lax.fori_loop(
      1, options.look_ahead, lambda i, rest: rest + one(i), one(0)
    )
    return total / options.look_ahead

  return of_candidates


def vote(
  api: Api,
  embed: Embedding,
  options: EvolutionOptions,
  sizes: tuple[int, ...],
) -> Callable[..., jax.Array]:
  """`(population, records, key, degree, noise) -> f32[S]`, the release.

  `noise` is that of `noise_of`. To be compiled as a whole: the clean histogram
  is inside.

  Args:
    api: the generator.
    embed: the embedding.
    options: settings.
    sizes: parents of each class.
  """
  of_candidates = embedded(api, embed, options)

  def of_population(
    population: Population,
    records: Records,
    key: jax.Array,
    degree: float | jax.Array,
    noise: Noise,
  ) -> jax.Array:
    candidates = of_candidates(population, key, degree)
    return voted(options, sizes, records, candidates, key, noise)

  return of_population


@functools.partial(jax.jit, static_argnames=("options", "sizes"))
def voted(
  options: EvolutionOptions,
  sizes: tuple[int, ...],
  records: Records,
  candidates: jax.Array,
  key: jax.Array,
  noise: Noise,
) -> jax.Array:
  """The noisy histogram f32[S] of embedded candidates.

  Args:
    options: settings.
    sizes: parents of each class.
    records: who votes.
    candidates: f32[S,D].
    key: of the iteration.
    noise: of `noise_of`.
  """
  fold = len(candidates) // sum(sizes)
  return noisy_votes(
    key,
    records,
    candidates,
    tuple(fold * size for size in sizes),
    noise,
    k=options.nearest,
    metric=options.metric,
    weights=decaying_weights(options.nearest)
    if options.vote_weights == "decaying"
    else None,
    discrete=options.noise == "discrete",
  )


def advance(
  api: Api,
  options: EvolutionOptions,
  sizes: tuple[int, ...],
  embed: Embedding | None = None,
) -> Callable[..., Population]:
  """`(population, noisy, key, degree, stddev=0) ->` the next population.

  Args:
    api: the generator.
    options: settings.
    sizes: parents of each class.
    embed: the embedding, for geometry-aware selection alone.
  """

  def of_votes(
    population: Population,
    noisy: jax.Array,
    key: jax.Array,
    degree: float | jax.Array,
    stddev: float | jax.Array = 0.0,
  ) -> Population:
    points = None
    if options.selection == "geometry":
      assert embed is not None
      points = jnp.asarray(embed.embed(api.render(population.samples)))
    rows = select(
      stream(key, "evolution.select"),
      jnp.asarray(noisy),
      sizes,
      len(noisy) // sum(sizes),
      options,
      points,
      stddev,
    )
    return populations.descend(
      api,
      populations.taken(population, rows),
      population,
      kept_votes(noisy, options.level(stddev)),
      sizes,
      key,
      degree,
      options.variations,
      options.keep_selected,
    )

  return of_votes


def noise_of(options: EvolutionOptions, noise_multiplier: float) -> Noise:
  """What `vote` takes: a standard deviation f32[], or a table if discrete.

  Args:
    options: settings.
    noise_multiplier: standard deviation over the sensitivity of 1; 0 for none.
  """
  if options.noise == "discrete":
    return noise_table(noise_multiplier * options.nearest**0.5)
  return at_least(noise_multiplier)


def at_least(stddev: float) -> np.ndarray:
  """The smallest f32 that is not below: what is accounted is then drawn."""
  rounded = np.float32(stddev)
  if float(rounded) < stddev:
    rounded = np.nextafter(rounded, np.float32(np.inf))
  return np.asarray(rounded)
