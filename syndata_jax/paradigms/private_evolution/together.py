"""The evolutions of all models at once, where generator and space are JAX.

An iteration of all models is one round of a compiled program; the clean
histograms are never outside of it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax import keys
from syndata_jax.data.training_set import Private
from syndata_jax.ensemble import Rounds
from syndata_jax.evolution.api import Api
from syndata_jax.evolution.budget import Plan
from syndata_jax.evolution.embedding import Embedding
from syndata_jax.evolution.histogram import Records, group
from syndata_jax.evolution.iteration import (
  Noise,
  advance,
  begin,
  key_of,
  noise_of,
  vote,
)
from syndata_jax.evolution.options import EvolutionOptions
from syndata_jax.evolution.population import Population, released_rows, taken
from syndata_jax.evolution.selection import kept_votes
from syndata_jax.evolution.signal import Signal

STAGE = "evolution"


# Arrays of a population, by their number.
Leaves = dict[str, Any]


class Voters(NamedTuple):
  """What one model owns; each device holds that of its own models."""

  key: Any  # its typed key
  rows: Any  # i32[T,B], its members by class, rows of the pool
  classes: Any  # i32[T]


class Step(NamedTuple):
  """What one iteration is given, the same for every model."""

  number: Any  # i32[], from 0
  degree: Any  # f32[]
  noise: Noise
  stddev: Any  # f32[]


def rounds(
  options: EvolutionOptions,
  api: Api,
  embedding: Embedding,
  sizes: tuple[int, ...],
  noises: tuple[float, ...],
  private: Private,
  pool: np.ndarray,
  key: jax.Array,
) -> Rounds:
  """The iterations of all models.

  Args:
    options: settings.
    api: a traceable generator.
    embedding: a traceable one.
    sizes: samples of each class.
    noises: noise multipliers, one an iteration.
    private: of all models.
    pool: of the private images, embedded f32[N,D].
    key: root of every draw; model i uses its own branch.

  Returns:
    Rounds whose last state `rendered` reads.
  """
  models = len(private.members)
  pack, unpack = _packing(api, options, sizes)
  start = begin(api, options, sizes)
  votes = vote(api, embedding, options, sizes)
  advances = advance(api, options, sizes, embedding)

  def init(own: Voters, pool: Any) -> Leaves:
    del pool
    return pack(start(own.key))

  def program(
    state: Leaves, own: Voters, step: Step, pool: Any
  ) -> tuple[Leaves, dict[str, jax.Array], dict[str, Any]]:
    key = key_of(own.key, step.number)
    population = unpack(state)
    records = Records(pool, own.rows, own.classes)
    noisy = votes(population, records, key, step.degree, step.noise)
    following = advances(population, noisy, key, step.degree, step.stddev)
    alive = jnp.zeros(len(population.labels), bool)
    metrics = {
      "signal": kept_votes(noisy, options.level(step.stddev)).sum(),
      "ancestors": alive.at[following.ancestor].set(True).sum(),
    }
    return pack(following), metrics, {}

  def feed(number: int) -> Step:
    place = number - 1
    step = Step(
      np.int32(place),
      np.float32(options.degree(place)),
      noise_of(options, noises[place]),
      np.float32(noises[place]),
    )
    return jax.tree.map(
      lambda leaf: np.broadcast_to(leaf, (models, *np.shape(leaf))), step
    )

  return Rounds(
    number=options.num_iterations,
    init=init,
    program=program,
    own=_voters(private, key),
    shared=pool,
    feed=feed,
    images=lambda number: options.num_samples * options.fold,
    setting="num_iterations",
    rate="threshold",
  )


def noises_of(plan: Plan) -> tuple[float, ...]:
  """The noise multipliers of a fixed plan, 0 for none."""
  # Of the signals a fixed plan reads their number alone.
  silent = Signal(0.0, 0.0, 0.0, 0.0, 0.0, 1)
  return tuple(
    plan.next([silent] * place) or 0.0 for place in range(len(plan.weights))
  )


def _voters(private: Private, key: jax.Array) -> Voters:
  """The members of every model, grouped by class in shapes of one size."""
  nothing = np.zeros((len(private.labels), 0), np.float32)
  grouped = [
    group(nothing, private.labels, private.num_classes, members=members)
    for members in private.members
  ]
  return Voters(
    keys.model_keys(key, len(grouped)),
    np.stack([np.asarray(records.rows) for records in grouped]),
    np.stack([np.asarray(records.classes) for records in grouped]),
  )


def rendered(
  api: Api, options: EvolutionOptions, sizes: tuple[int, ...]
) -> Callable[[Leaves, None], jax.Array]:
  """`(state, None) ->` what one model releases, u8[S,H,W,C].

  Args:
    api: the generator.
    options: settings.
    sizes: samples of each class.
  """
  _, unpack = _packing(api, options, sizes)
  rows = released_rows(sizes, options.fold)

  def draw(state: Leaves, shared: None) -> jax.Array:
    del shared
    images: jax.Array = api.render(taken(unpack(state).samples, rows))
    return images

  return draw


def _packing(
  api: Api, options: EvolutionOptions, sizes: tuple[int, ...]
) -> tuple[Callable[[Population], Leaves], Callable[[Leaves], Population]]:
  """A population as its arrays that hold anything, and back.

  A checkpoint takes no empty array, such as the colours of grey images.

  Args:
    api: the generator.
    options: settings.
    sizes: samples of each class.
  """
  whole = jax.eval_shape(begin(api, options, sizes), jax.random.key(0))
  wanted, structure = jax.tree.flatten(whole)

  def pack(population: Population) -> Leaves:
    leaves = jax.tree.leaves(population)
    return {f"{i:03}": leaf for i, leaf in enumerate(leaves) if leaf.size}

  def unpack(state: Leaves) -> Population:
    leaves = [
      state[f"{i:03}"] if leaf.size else jnp.zeros(leaf.shape, leaf.dtype)
      for i, leaf in enumerate(wanted)
    ]
    population: Population = jax.tree.unflatten(structure, leaves)
    return population

  return pack, unpack
