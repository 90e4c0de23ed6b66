"""Private Evolution whose records stay with the clients: the server's loop."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax import validate
from syndata_jax.errors import UserError
from syndata_jax.evolution import budget, state
from syndata_jax.evolution.api import Api
from syndata_jax.evolution.embedding import Embedding
from syndata_jax.evolution.evolve import Evolved, Iteration, OnIteration
from syndata_jax.evolution.federated import pending
from syndata_jax.evolution.federated.federation import Federation
from syndata_jax.evolution.federated.mechanism import (
  DistributedSkellam,
  least_noise,
)
from syndata_jax.evolution.federated.policy import Ballot
from syndata_jax.evolution.federated.server import histogram
from syndata_jax.evolution.federated.voters import Voters
from syndata_jax.evolution.histogram import Records
from syndata_jax.evolution.iteration import begin, embedded, key_of
from syndata_jax.evolution.options import EvolutionOptions
from syndata_jax.evolution.population import (
  Population,
  num_ancestors,
  released_rows,
  taken,
)
from syndata_jax.evolution.signal import Signal, signal
from syndata_jax.evolution.state import State
from syndata_jax.evolution.tools import Tools, advancing, prepared
from syndata_jax.privacy import Ledger

# The server has none.
_NO_RECORDS = Records(
  np.zeros((0, 0), np.float32),
  np.zeros((0, 0), np.int32),
  np.zeros(0, np.int32),
)


def evolve_federated(
  voters: Voters,
  embed: Embedding,
  api: Api,
  ledger: Ledger,
  key: jax.Array,
  options: EvolutionOptions,
  federation: Federation,
  num_classes: int,
  folder: pathlib.Path | None = None,
  on_iteration: OnIteration | None = None,
) -> Evolved:
  """Evolves synthetic samples towards the records of clients.

  As `evolve`, whose records are here; what differs:

  - The example of the ledger is a client with all its records.
  - Noise is Skellam's; `options.noise` must be `discrete`, and with it the
    budget a schedule, not `adaptive`.
  - The noise is drawn by the clients, never again: a sum that was about to be
    released when the server died is counted as released, and its iteration is
    left out on resuming. `key` decides samples alone.
  - A round without enough clients is void: nothing is released, and it is
    repeated, `federation.attempts` times at most.

  Args:
    voters: the clients.
    embed: in which space candidates are sent to them.
    api: the generator, on the server.
    ledger: so far, its unit being a client; with the delta and the relation of
      the run.
    key: of every draw of the server.
    options: settings.
    federation: settings of the vote.
    num_classes: K, public.
    folder: where the state is kept, from which a run resumes; None for none.
    on_iteration: `(iteration, next population)`, after each.

  Raises:
    UserError: settings that do not fit, a budget that the run would exceed
      (nothing is released then), a state of another run, a generator that
      fails, or a histogram whose rounds were all void. What was paid for is
      kept.
  """
  _check(options, ledger, num_classes)
  tools = Tools(prepared(api, embed, options), embed, options, _NO_RECORDS, key)
  sizes = options.class_sizes(num_classes)
  plan = _plan(options, federation, ledger)
  advances = advancing(tools, sizes)
  run = _Run(tools, sizes, federation, plan, voters, folder, advances)
  now = run.load(State(ledger, sizes), num_classes)
  return _iterate(now, run, on_iteration)


class _Run(NamedTuple):
  """What does not change during a run."""

  tools: Tools
  sizes: tuple[int, ...]
  federation: Federation
  plan: budget.Plan
  voters: Voters
  folder: pathlib.Path | None
  advances: Callable[..., Population]

  def circumstances(self, num_classes: int) -> dict[str, Any]:
    """What a stored run must have in common with this one."""
    fields = dataclasses.asdict(self.federation)
    del fields["attempts"]
    return dataclasses.asdict(self.tools.options) | {
      "federation": fields,
      "api": self.tools.api.name,
      "embedding": self.tools.embed.name,
      "classes": num_classes,
    }

  def load(self, start: State, num_classes: int) -> State:
    """The state to go on from; a sum that was lost is counted in it."""
    if self.folder is None:
      return start
    circumstances = self.circumstances(num_classes)
    stored = state.load(
      self.folder, start.ledger, circumstances, self.tools.like
    )
    now = stored or start
    paid = pending.load(self.folder)
    if paid is None or paid.iteration != len(now.noisy):
      return now
    population = now.population
    if now.noisy:
      population = _follow(self, now)
    elif population is None:
      population = begin(self.tools.api, self.tools.options, self.sizes)(
        self.tools.key
      )
    lost = np.zeros(len(population.labels), np.float32)
    now = _with(now, paid.ledger, lost, paid.noise_multiplier, population)
    self.keep(now, num_classes)
    return now

  def keep(self, now: State, num_classes: int) -> None:
    """Stores a state; what was pending is in it."""
    if self.folder is not None:
      state.save(self.folder, now, self.circumstances(num_classes))
      pending.clear(self.folder)


def _iterate(
  now: State, run: _Run, on_iteration: OnIteration | None
) -> Evolved:
  """The iterations that are still to be done, and the result.

  Args:
    now: the state so far.
    run: what does not change.
    on_iteration: as in `evolve_federated`.
  """
  api, _, options, _, key = run.tools
  of_candidates = _embedding(run.tools)
  if now.population is None:
    population = begin(api, options, run.sizes)(key)
  else:
    population = _follow(run, now)
  history = _history(now, run)
  while True:
    noise = run.plan.next([entry.signal for entry in history])
    if noise is None:
      break
    step = len(now.noisy)
    fold = len(population.labels) // sum(run.sizes)
    ballot = Ballot(
      of_candidates(population, key_of(key, step), options.degree(step)),
      tuple(fold * size for size in run.sizes),
      options.nearest,
      options.metric,
    )
    mechanism = run.federation.mechanism(len(population.labels), noise)
    ledger = now.ledger.add(mechanism.release())
    noisy = _voted(run, mechanism, ballot, ledger, step)
    now = _with(now, ledger, noisy, noise, population)
    run.keep(now, len(run.sizes))
    history = _history(now, run)
    population = _follow(run, now)
    if on_iteration is not None:
      on_iteration(history[-1], population)
  return _result(now, run, population, history)


def _voted(
  run: _Run,
  mechanism: DistributedSkellam,
  ballot: Ballot,
  ledger: Ledger,
  step: int,
) -> np.ndarray:
  """The noisy votes f32[S] of one iteration, from as many rounds as it takes.

  Args:
    run: what does not change.
    mechanism: of the round.
    ballot: what is voted on.
    ledger: with this release.
    step: of the iteration, from 0.
  """
  paid = pending.Pending(step, mechanism.noise_multiplier, ledger)

  def before_release() -> None:
    if run.folder is not None:
      pending.save(run.folder, paid)

  void = ""
  for _ in range(run.federation.attempts):
    tally = run.voters.tally(mechanism, ballot, before_release)
    if tally.total is not None:
      return histogram(tally, mechanism).votes
    void = tally.void
    if run.folder is not None:
      pending.clear(run.folder)
  raise UserError(
    f"attempts={run.federation.attempts}: iteration {step + 1} was void each"
    f" time ({void}); nothing of it was released, what was before is kept"
  )


def _follow(run: _Run, now: State) -> Population:
  """The population after the last histogram.

  As before where a histogram says nothing: it was lost, or all of it was out
  of range.
  """
  assert now.population is not None
  if not now.noisy[-1].any():
    return now.population
  step = len(now.noisy) - 1
  mechanism = run.federation.mechanism(len(now.noisy[-1]), now.noises[-1])
  return run.advances(
    now.population,
    now.noisy[-1],
    key_of(run.tools.key, step),
    np.float32(run.tools.options.degree(step)),
    np.float32(mechanism.stddev()),
  )


def _embedding(
  tools: Tools,
) -> Callable[[Population, jax.Array, float], np.ndarray]:
  """`iteration.embedded`, compiled where it can be, on the host."""
  function = embedded(tools.api, tools.embed, tools.options)
  if not tools.is_whole:
    return lambda *given: np.asarray(function(*given), np.float32)
  compiled = jax.jit(function)
  return lambda population, key, degree: np.asarray(
    compiled(population, key, jnp.float32(degree)), np.float32
  )


def _with(
  now: State,
  ledger: Ledger,
  noisy: np.ndarray,
  noise: float,
  population: Population,
) -> State:
  """The state with one histogram more.

  Args:
    now: before.
    ledger: with its release.
    noisy: f32[S].
    noise: multiplier.
    population: that was voted on.
  """
  return now._replace(
    ledger=ledger,
    noisy=(*now.noisy, noisy),
    noises=(*now.noises, noise),
    epsilons=(*now.epsilons, ledger.epsilon()),
    ancestors=(*now.ancestors, num_ancestors(population)),
    population=population,
  )


def _history(now: State, run: _Run) -> tuple[Iteration, ...]:
  return tuple(
    Iteration(number + 1, noise, epsilon, ancestors, _signal(run, noisy, noise))
    for number, (noise, epsilon, ancestors, noisy) in enumerate(
      zip(now.noises, now.epsilons, now.ancestors, now.noisy, strict=True)
    )
  )


def _signal(run: _Run, noisy: np.ndarray, noise: float) -> Signal:
  """The signal in units of the sensitivity, which is what plans reckon in."""
  mechanism = run.federation.mechanism(len(noisy), noise)
  unit = mechanism.sensitivity / mechanism.scale
  return signal(noisy / unit, run.tools.options.threshold / unit, noise)


def _result(
  now: State,
  run: _Run,
  population: Population,
  history: tuple[Iteration, ...],
) -> Evolved:
  """What is handed out.

  Args:
    now: the last state.
    run: what does not change.
    population: the last one.
    history: of the iterations.
  """
  fold = len(population.labels) // sum(run.sizes)
  chosen = taken(population, released_rows(run.sizes, fold))
  rendered = jax.tree.map(np.asarray, run.tools.api.render(chosen.samples))
  return Evolved(
    population, rendered, np.asarray(chosen.labels), now.ledger, history
  )


def _plan(
  options: EvolutionOptions, federation: Federation, ledger: Ledger
) -> budget.Plan:
  """Noise of the histograms, once the ledger allows all of them.

  Args:
    options: settings.
    federation: settings of the vote.
    ledger: at the start of the run.

  Raises:
    UserError: it does not.
  """
  # Candidates of the first histogram, and of those that follow.
  sizes = [
    options.num_samples * fold
    for fold in (1 + options.initial_variations, options.fold)
  ]
  shares = budget.weights(options.budget, options.num_iterations)
  if options.is_noiseless:
    total = math.inf
  elif options.noise_multiplier:
    total = options.num_iterations / options.noise_multiplier**2
  else:
    mechanisms = [federation.mechanism(size, 0.0) for size in sizes]
    total = 1 / least_noise(options.epsilon, ledger, mechanisms) ** 2
  for size in sizes:
    spent = ledger
    for share in shares:
      noise = 0.0 if math.isinf(total) else 1 / math.sqrt(share * total)
      spent = spent.add(federation.mechanism(size, noise).release())
  return budget.Plan(total, shares)


def _check(options: EvolutionOptions, ledger: Ledger, num_classes: int) -> None:
  """What can be refused before anything is asked."""
  validate.whole(1, num_classes=num_classes)
  if ledger.neighbours != options.neighbours:
    raise UserError(
      f"neighbours={options.neighbours!r}: must be {ledger.neighbours!r}, as"
      " in the ledger"
    )
  validate.one_of(("discrete",), noise=options.noise)
  # Both are releases of records at one place.
  validate.one_of(("declared_equal",), class_shares=options.class_shares)
  validate.within(0, 0, start_check_share=options.start_check_share)
  fewest = min(filter(None, options.class_sizes(num_classes)))
  fewest *= min(options.fold, 1 + options.initial_variations)
  validate.within(1, fewest, nearest=options.nearest)
