"""Private Evolution: from private records to synthetic samples.

An iteration is compiled up to the noisy histogram; ledger and histogram are
then stored in one step, and what follows from the histogram costs nothing and
may be done again.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from syndata_jax import validate
from syndata_jax.errors import UserError
from syndata_jax.evolution import opening, releases, state
from syndata_jax.evolution.api import Api
from syndata_jax.evolution.budget import Plan
from syndata_jax.evolution.embedding import Embedding, of_records
from syndata_jax.evolution.histogram import group
from syndata_jax.evolution.iteration import key_of
from syndata_jax.evolution.options import EvolutionOptions
from syndata_jax.evolution.population import (
  Population,
  num_ancestors,
  released_rows,
  taken,
)
from syndata_jax.evolution.signal import Signal, signal
from syndata_jax.evolution.start_check import StartCheck
from syndata_jax.evolution.state import State
from syndata_jax.evolution.tools import (
  Tools,
  advancing,
  beginning,
  prepared,
  voting,
)
from syndata_jax.privacy import Ledger


class Iteration(NamedTuple):
  """What one iteration shows of itself; all of it is released.

  Attributes:
    number: from 1.
    noise_multiplier: of its histogram, 0 for none.
    epsilon: spent so far, of all releases in the ledger.
    ancestors: random samples of which somebody was left before it.
    signal: of the noisy histogram.
  """

  number: int
  noise_multiplier: float
  epsilon: float
  ancestors: int
  signal: Signal


class Evolved(NamedTuple):
  """The result of a run.

  Attributes:
    population: after the last iteration, all candidates.
    rendered: what is released of it, `num_samples` of them: the selected
      parents where they are kept, else the first variation of each.
    labels: of these, i32[m].
    ledger: with all releases.
    history: of the iterations.
    check: the answer of the start check, None where it was not asked.
  """

  population: Population
  rendered: Any
  labels: np.ndarray
  ledger: Ledger
  history: tuple[Iteration, ...]
  check: StartCheck | None = None


OnIteration = Callable[[Iteration, Population], None]
OnStart = Callable[[Population], None]


def evolve(
  records: Any,
  labels: np.ndarray,
  embed: Embedding,
  api: Api,
  ledger: Ledger,
  key: jax.Array,
  options: EvolutionOptions,
  num_classes: int,
  folder: pathlib.Path | None = None,
  on_iteration: OnIteration | None = None,
  on_start: OnStart | None = None,
  embeddings: np.ndarray | None = None,
) -> Evolved:
  """Evolves synthetic samples towards private records.

  Args:
    records: private, N of them, as the generator renders its samples.
    labels: i32[N], in [0, K); one class of zeros for none.
    embed: in which space they are compared.
    api: the generator.
    ledger: so far; with the delta and the neighbouring relation of the run.
    key: of every draw, noise included. Unpredictable, secret and of this run
      alone where the result is released; the state does not hold it.
    options: settings.
    num_classes: K, public.
    folder: where the state is kept, from which a run resumes; None to keep
      none. A run that was finished is not done again.
    on_iteration: `(iteration, next population)`, after each; of a resumed run
      from the last stored one on.
    on_start: `(random samples)`, before the first iteration.
    embeddings: of the records f32[N,D], where they are known; None to compute
      them.

  Raises:
    UserError: data, generator, or settings that do not fit, a budget that the
      run would exceed (nothing is released then), a state of another run, or a
      generator that fails (what was paid for is kept then).
  """
  labels = np.asarray(labels, np.int32)
  _check(options, ledger, num_classes)
  if embeddings is None:
    embeddings = of_records(embed, records, len(labels))
  tools = Tools(
    prepared(api, embed, options),
    embed,
    options,
    jax.device_put(group(embeddings, labels, num_classes)),
    key,
  )
  costs = _affordable(options, ledger, num_classes)
  run = _circumstances(options, tools, len(labels), num_classes)
  now = State(ledger)
  if folder is not None:
    now = state.load(folder, ledger, run, tools.like) or now

  def keep(now: State) -> State:
    if folder is not None:
      state.save(folder, now, run)
    return now

  now = _open(now, tools, labels, embeddings, costs, num_classes, keep)
  return _iterate(now, tools, costs.plan, keep, on_iteration, on_start)


def check(options: EvolutionOptions, ledger: Ledger, num_classes: int) -> None:
  """Refuses what can be refused before anything is read or written.

  Args:
    options: settings.
    ledger: at the start of the run.
    num_classes: K.

  Raises:
    UserError: settings that do not fit, or a budget that the run would exceed.
  """
  _check(options, ledger, num_classes)
  _affordable(options, ledger, num_classes)


def _open(
  now: State,
  tools: Tools,
  labels: np.ndarray,
  embeddings: np.ndarray,
  costs: opening.Costs,
  num_classes: int,
  keep: Callable[[State], State],
) -> State:
  """The state once class sizes are known and the start is checked.

  Args:
    now: the state so far.
    tools: of the run.
    labels: of the private records.
    embeddings: of the private records.
    costs: how the budget is divided.
    num_classes: K.
    keep: stores a state.
  """
  api, embed, options, _, key = tools
  if not now.sizes and costs.counts_noise is None:
    now = now._replace(sizes=options.class_sizes(num_classes))
  elif not now.sizes:
    sizes, release = opening.sizes_by_counts(
      key, labels, num_classes, options, costs.counts_noise or 0.0
    )
    now = keep(now._replace(sizes=sizes, ledger=now.ledger.add(release)))
  if now.check is None and costs.check_noise is not None:
    noise = costs.check_noise
    check, release = opening.check(
      key, api, embed, embeddings, labels, now.sizes, options, noise
    )
    ledger, fields = now.ledger.add(release), opening.fields_of(check)
    now = keep(now._replace(check=fields, ledger=ledger))
  return now


def _iterate(
  now: State,
  tools: Tools,
  plan: Plan,
  keep: Callable[[State], State],
  on_iteration: OnIteration | None,
  on_start: OnStart | None,
) -> Evolved:
  """The iterations that are still to be done, and the result.

  Args:
    now: the state so far.
    tools: of the run.
    plan: noise of the histograms.
    keep: stores a state.
    on_iteration: as in `evolve`.
    on_start: as in `evolve`.
  """
  options, key = tools.options, tools.key
  votes = voting(tools, now.sizes)
  advances = advancing(tools, now.sizes)
  history = _history(now, options)

  def follow(now: State) -> Population:
    step = len(now.noisy) - 1
    population = advances(
      now.population,
      now.noisy[-1],
      key_of(key, step),
      np.float32(options.degree(step)),
      np.float32(now.noises[-1]),
    )
    if on_iteration is not None:
      on_iteration(history[-1], population)
    return population

  if now.population is None:
    population = beginning(tools, now.sizes)(key)
    if on_start is not None:
      on_start(population)
  else:
    population = follow(now)
  signals = [entry.signal for entry in history]
  while (noise := plan.next(signals)) is not None:
    step = len(now.noisy)
    release = releases.votes(options, noise, len(population.labels))
    ledger = now.ledger.add(release)
    noisy = votes(population, key_of(key, step), options.degree(step), noise)
    now = keep(
      now._replace(
        ledger=ledger,
        noisy=(*now.noisy, np.asarray(noisy)),
        noises=(*now.noises, noise),
        epsilons=(*now.epsilons, ledger.epsilon()),
        ancestors=(*now.ancestors, num_ancestors(population)),
        population=population,
      )
    )
    history = _history(now, options)
    signals = [entry.signal for entry in history]
    population = follow(now)
  return _result(now, tools, plan, population, history)


def _result(
  now: State,
  tools: Tools,
  plan: Plan,
  population: Population,
  history: tuple[Iteration, ...],
) -> Evolved:
  """What is handed out; an adaptive budget counts what it did not need.

  Args:
    now: the last state.
    tools: of the run.
    plan: noise of the histograms.
    population: the last one.
    history: of the iterations.
  """
  ledger = now.ledger
  unspent = plan.reserved([entry.signal for entry in history])
  if unspent is not None:
    ledger = ledger.add(unspent)
  fold = len(population.labels) // sum(now.sizes)
  chosen = taken(population, released_rows(now.sizes, fold))
  rendered = jax.tree.map(np.asarray, tools.api.render(chosen.samples))
  labels = np.asarray(chosen.labels)
  answer = opening.answer(now.check)
  return Evolved(population, rendered, labels, ledger, history, answer)


def _history(now: State, options: EvolutionOptions) -> tuple[Iteration, ...]:
  return tuple(
    Iteration(
      number + 1,
      noise,
      epsilon,
      ancestors,
      signal(noisy, options.level(noise), noise),
    )
    for number, (noise, epsilon, ancestors, noisy) in enumerate(
      zip(now.noises, now.epsilons, now.ancestors, now.noisy, strict=True)
    )
  )


def _check(options: EvolutionOptions, ledger: Ledger, num_classes: int) -> None:
  """What can be refused before anything is read."""
  validate.whole(1, num_classes=num_classes)
  if ledger.neighbours != options.neighbours:
    raise UserError(
      f"neighbours={options.neighbours!r}: must be {ledger.neighbours!r}, as"
      " in the ledger"
    )
  if options.class_shares != "private":
    sizes = options.class_sizes(num_classes)
    smallest = max(sizes) * min(options.fold, 1 + options.initial_variations)
    validate.within(1, smallest, nearest=options.nearest)


def _affordable(
  options: EvolutionOptions, ledger: Ledger, num_classes: int
) -> opening.Costs:
  """How the budget is divided, once the ledger allows the whole run.

  Args:
    options: settings.
    ledger: at the start of the run.
    num_classes: K.

  Raises:
    UserError: it does not.
  """
  costs = opening.divided(options, ledger.delta)
  costs = opening.fitted(options, costs, ledger.delta, num_classes)
  spent = ledger
  for release in opening.planned(options, costs, num_classes):
    spent = spent.add(release)
  return costs


def _circumstances(
  options: EvolutionOptions, tools: Tools, num_records: int, num_classes: int
) -> dict[str, Any]:
  """What a stored run must have in common with this one.

  Args:
    options: settings.
    tools: of the run.
    num_records: N.
    num_classes: K.
  """
  fields = dataclasses.asdict(options)
  del fields["api_seconds"]  # it decides nothing of a run that goes on
  return fields | {
    "api": tools.api.name,
    "embedding": tools.embed.name,
    "records": num_records,
    "classes": num_classes,
  }
