"""Stages in a dry run: compiled in full, timed on a few steps.

What they return has the right shapes and is worth nothing.
"""

import dataclasses
import os
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import memory
from syndata_jax.ensemble.checkpoints import Checkpoints
from syndata_jax.ensemble.host_stages import HostRounds, one_round
from syndata_jax.ensemble.layout import Layout
from syndata_jax.ensemble.learner import MakeLearner
from syndata_jax.ensemble.shards import Shards
from syndata_jax.ensemble.stages import (
  Placed,
  Rounds,
  Workspace,
  place,
  training,
)
from syndata_jax.errors import prefixed

_STEPS = 8  # of an epoch of the trial, for each model
_ROUNDS = 3  # of each stage, at least
_SECONDS = 3.0  # and for as long


class Estimate(NamedTuple):
  """What a stage will take."""

  stage: str
  seconds: float  # its program taken from the cache
  compilation: float  # seconds, once
  round: float  # seconds of the median round
  rounds: int
  memory: int | None  # bytes on one device, None where it is not known
  models: int
  chunk: int  # models at once on each device
  images: int  # presented to all models together


@dataclasses.dataclass(frozen=True)
class Rehearsal(Workspace):
  """A workspace that runs a few rounds of every stage, to time them.

  Its folder should be a temporary one.

  Attributes:
    estimates: one for each stage so far, in their order.
    seconds: what each of them took to make.
  """

  estimates: list[Estimate] = dataclasses.field(default_factory=list)
  seconds: list[float] = dataclasses.field(default_factory=list)

  def spent(self) -> float:
    """Seconds that were spent on estimates."""
    return sum(self.seconds)

  def train(
    self,
    stage: str,
    layout: Layout,
    make_learner: MakeLearner,
    key: jax.Array,
    training_set: TrainingSet,
    keep_all: bool = False,
  ) -> Any:
    """Times epochs of a few steps; the whole program is compiled alone."""
    rounds = training(make_learner(training_set), key, training_set)
    short = make_learner(training_set, steps=_STEPS)
    trial = training(short, key, training_set)
    return self._rehearse(stage, layout, rounds, trial, keep_all)

  def repeat(
    self, stage: str, layout: Layout, rounds: Rounds, keep_all: bool = False
  ) -> Any:
    """Times the first rounds."""
    return self._rehearse(stage, layout, rounds, rounds, keep_all)

  def produce(self, stage: str, layout: Layout, rounds: Rounds) -> Shards:
    """Times the first rounds; their last output stands for all that follow."""
    shards = Shards(self.folder / stage / "shards", rounds.number)
    self._rehearse(stage, layout, rounds, rounds, shards=shards)
    _fill(shards)
    return shards

  def repeat_on_host(self, stage: str, rounds: HostRounds) -> Any:
    """Times the first rounds; the state is theirs."""
    return self._rehearse_on_host(stage, rounds)

  def produce_on_host(self, stage: str, rounds: HostRounds) -> Shards:
    """Times the first rounds; their last output stands for all that follow."""
    shards = Shards(self.folder / stage / "shards", rounds.number)
    self._rehearse_on_host(stage, rounds, shards)
    _fill(shards)
    return shards

  def _rehearse_on_host(
    self, stage: str, rounds: HostRounds, shards: Shards | None = None
  ) -> Any:
    """Runs a few rounds, and adds an estimate."""
    begin = time.perf_counter()
    taken: list[float] = []
    state = rounds.init()
    with prefixed(stage):
      for number in range(1, rounds.number + 1):
        start = time.perf_counter()
        state, outputs = one_round(rounds, number, state, self.on_round, stage)
        taken.append(time.perf_counter() - start)
        if shards:
          shards.save(number, outputs)
        if sum(taken) > _SECONDS:
          break
    each = float(np.median(taken))
    self.estimates.append(
      Estimate(
        stage,
        seconds=each * rounds.number,
        compilation=0.0,
        round=each,
        rounds=rounds.number,
        memory=None,
        models=rounds.num_models,
        chunk=1,
        images=rounds.images * rounds.number,
      )
    )
    self.seconds.append(time.perf_counter() - begin)
    return state

  def _rehearse(
    self,
    stage: str,
    layout: Layout,
    rounds: Rounds,
    trial: Rounds,
    keep_all: bool = False,
    shards: Shards | None = None,
  ) -> Any:
    """Compiles `rounds`, runs a few of `trial`, and adds an estimate."""
    begin = time.perf_counter()
    with prefixed(stage), memory.exhaustion(layout):
      placed = place(layout, rounds)
      program, compilation, again = _compiled(placed, rounds)
      if trial is not rounds:
        placed = place(layout, trial)
      state = placed.init(None, placed.own, placed.shared)
      snapshots = Checkpoints(self.folder / stage, 1, keep_all)
      if keep_all:
        snapshots.save(0, layout.gather(state))
      run, taken = (program if trial is rounds else placed.run), []
      most = min(rounds.number, _ROUNDS) if keep_all else rounds.number
      for number in range(1, most + 1):
        start = time.perf_counter()
        data = placed.fed(trial, number)
        state, metrics, outputs = run(state, data, placed.shared)
        jax.block_until_ready((state, metrics))
        taken.append(time.perf_counter() - start)
        if keep_all:
          snapshots.save(number, layout.gather(state))
        if shards:
          shards.save(number, layout.gather(outputs))
        if number >= _ROUNDS and sum(taken[1:]) > _SECONDS:
          break
    # The first round of a trial includes its compilation.
    steady = float(np.median(taken[1:] or taken))
    images = [rounds.images(n) for n in range(1, rounds.number + 1)]
    done = trial.images(1)
    each = steady * np.array([n / done if done else 1.0 for n in images])
    self.estimates.append(
      Estimate(
        stage,
        again + float(each.sum()),
        compilation,
        float(np.median(each)),
        rounds.number,
        memory.compiled_bytes(program),
        layout.num_models,
        placed.layout.chunk,
        layout.num_models * sum(images),
      )
    )
    result = layout.gather(state)
    self.seconds.append(time.perf_counter() - begin)
    return result


def _fill(shards: Shards) -> None:
  """Lets the last shard stand for all that follow."""
  last = max(n for n in range(1, shards.number + 1) if shards.sound(n))
  for number in range(last + 1, shards.number + 1):
    for there, here in zip(
      shards.paths(last), shards.paths(number), strict=True
    ):
      os.link(there, here)


def _compiled(
  placed: Placed, rounds: Rounds
) -> tuple[jax.stages.Compiled, float, float]:
  """The program, the seconds to compile it, and those to load it again."""
  states = jax.eval_shape(placed.init, None, placed.own, placed.shared)
  arguments = states, placed.fed(rounds, 1), placed.shared
  start = time.perf_counter()
  program = placed.run.lower(*arguments).compile()
  first = time.perf_counter() - start
  # The audit will find the program in the cache, as a new one does here.
  start = time.perf_counter()
  new = placed.layout.compile(placed.program, donate=True)
  new.lower(*arguments).compile()
  return program, first, time.perf_counter() - start
