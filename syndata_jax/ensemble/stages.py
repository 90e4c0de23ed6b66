"""Stages of an audit: rounds of one compiled program, with checkpoints between.

Whatever takes long is a stage: training the audited networks, the networks
trained on the way, an optimisation, sampling. A stage has a name, a folder of
checkpoints, and tells after every round how far it is; stopped at any moment
it continues to the same bits.
"""

import dataclasses
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from syndata_jax import files, identity
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import hosts, memory
from syndata_jax.ensemble.checkpoints import Checkpoints
from syndata_jax.ensemble.host_stages import (
  HostRounds,
  produce_on_host,
  repeat_on_host,
)
from syndata_jax.ensemble.layout import Layout
from syndata_jax.ensemble.learner import Learner, MakeLearner, Own, Pool
from syndata_jax.ensemble.round import OnRound, Round
from syndata_jax.ensemble.shards import Shards
from syndata_jax.errors import UserError, prefixed
from syndata_jax.keys import model_keys

_IDENTITY = "identity.json"


class Rounds(NamedTuple):
  """What a stage repeats, written for one model.

  Attributes:
    number: rounds of the whole stage.
    init: `(own, shared) -> state` before the first round.
    program: `(state, own, fed, shared) -> (state, metrics, outputs)`; metrics
      are named scalars, outputs nested dicts of arrays, {} for none.
    own: what each model owns in all rounds, on the host, leaves [M,...].
    shared: what all models share, on the host.
    feed: `(round) ->` what the models are given in it alone, on the host,
      leaves [M,...]; 1 is the first.
    images: `(round) ->` examples presented to one model in it.
    setting: the field behind `number`, for errors.
    rate: the field to lower where a loss diverges, for errors.
  """

  number: int
  init: Callable[[Any, Any], Any]
  program: Callable[..., tuple[Any, Any, Any]]
  own: Any
  shared: Any
  feed: Callable[[int], Any] = lambda number: None
  images: Callable[[int], int] = lambda number: 0
  setting: str = "num_epochs"
  rate: str = "learning_rate"

  def all_images(self, layout: Layout, first: int, last: int) -> int:
    """Presented to all models from one round to another, both included."""
    each = map(self.images, range(first, last + 1))
    return layout.num_models * sum(each)

  def shapes(self) -> Any:
    """Of the states of all models, `jax.ShapeDtypeStruct` [M,...]."""
    each = lambda own: self.init(own, self.shared)
    return jax.eval_shape(jax.vmap(each), self.own)


def training(
  learner: Learner, key: jax.Array, training_set: TrainingSet
) -> Rounds:
  """The epochs of a learner as rounds.

  Args:
    learner: how one model learns.
    key: root of every draw; model i uses its own branch.
    training_set: of all models; it has entered.
  """
  pooled = training_set.members is not None
  images, labels = training_set.images, training_set.labels
  models = training_set.num_models

  def program(state: Any, own: Own, fed: None, pool: Pool) -> tuple[Any, ...]:
    del fed
    return *learner.epoch(state, own, pool), {}

  return Rounds(
    number=learner.num_epochs,
    init=learner.init,
    program=program,
    own=Own(
      model_keys(key, models),
      training_set.members,
      None if pooled else images,
      None if pooled else labels,
      training_set.released,
    ),
    shared=Pool(
      images if pooled else None, labels if pooled else None, learner.shared
    ),
    images=learner.images,
    setting=learner.setting,
    rate=learner.rate,
  )


class Placed(NamedTuple):
  """A stage that can start: everything that it needs is on the devices."""

  layout: Layout  # with as many models at once as the memory allows
  program: Callable  # of one model: (state, (own, fed), shared) -> ...
  init: jax.stages.Wrapped  # (None, own, shared) -> states
  run: jax.stages.Wrapped  # (states, (own, fed), shared) -> what a round gives
  own: Any  # placed
  shared: Any  # replicated

  def fed(self, rounds: Rounds, number: int) -> Any:
    """What the models own and are given in one round."""
    return self.own, self.layout.place(rounds.feed(number))


def place(layout: Layout, rounds: Rounds) -> Placed:
  """Puts keys and data on the devices, and fits the chunk to the memory.

  Where the chunk is automatic and the device says how much memory it has, the
  program is compiled once for one model at a time, and the compiler's plan for
  it decides. Nothing else is compiled yet.
  """

  def program(state: Any, data: Any, shared: Any) -> Any:
    return rounds.program(state, *data, shared)

  def init(state: None, own: Any, shared: Any) -> Any:
    del state
    return rounds.init(own, shared)

  own, shared = layout.place(rounds.own), layout.replicate(rounds.shared)
  fresh = layout.compile(init, vectorised=False)

  def lower(one: Layout) -> jax.stages.Lowered:
    data = own, layout.place(rounds.feed(1))
    states = jax.eval_shape(fresh, None, own, shared)
    return one.compile(program, donate=True).lower(states, data, shared)

  layout = memory.fitted(layout, lower)
  run = layout.compile(program, donate=True)
  return Placed(layout, program, fresh, run, own, shared)


def repeat(
  layout: Layout,
  rounds: Rounds,
  checkpoints: Checkpoints | None = None,
  on_round: OnRound = lambda done: None,
  stage: str = "",
  shards: Shards | None = None,
) -> Any:
  """Runs all rounds that the newest checkpoint does not hold yet.

  Where several processes share the devices (`jax.distributed`), all of them
  call it with the same arguments, and all get the same result.

  Args:
    layout: which model runs where.
    rounds: what is repeated.
    checkpoints: where to continue from and to save to; none if None.
    on_round: called after each round of this process. What it raises ends the
      stage.
    stage: its name, for `on_round`.
    shards: where the outputs of the rounds go; nowhere if None.

  Returns:
    The last states on the host, leaves [M,...].

  Raises:
    UserError: a loss that is no longer finite (which model, which round), a
      checkpoint of a longer stage or of another state, or processes that see
      different ones.
  """
  last = rounds.number
  stored = checkpoints.latest(rounds.shapes()) if checkpoints else None
  done, state = stored or (0, None)
  if shards and not all(shards.sound(n) for n in range(1, min(done, last) + 1)):
    done, state = 0, None  # an output is lost: all are made again
  hosts.agree(done, "the newest checkpoint's epoch")
  if done > last:
    raise UserError(
      f"{rounds.setting}={last}: the newest checkpoint is of"
      f" epoch {done}; train as long, or name another folder"
    )
  if done == last and state is not None:
    return state
  placed = place(layout, rounds)
  with memory.exhaustion(placed.layout):
    if state is None:
      state = placed.init(None, placed.own, placed.shared)
      if checkpoints and checkpoints.due(0, last):
        checkpoints.save(0, layout.gather(state))
    else:
      state = layout.place(state)
    for number in range(done + 1, last + 1):
      start = time.perf_counter()
      data = placed.fed(rounds, number)
      with jax.transfer_guard("disallow"):  # nothing moves but the metrics
        state, metrics, outputs = placed.run(state, data, placed.shared)
      metrics = layout.gather(metrics)
      seconds = time.perf_counter() - start
      _check_finite(rounds, number, metrics)
      images = rounds.all_images(layout, number, number)
      left = rounds.all_images(layout, number + 1, last)
      # Reported first: a run killed in between repeats the round and its
      # report.
      on_round(Round(stage, number, last, seconds, images, left, metrics))
      if shards:
        outputs = layout.gather(outputs)
        if hosts.is_lead():
          shards.save(number, outputs)
      if checkpoints and checkpoints.due(number, last):
        checkpoints.save(number, layout.gather(state))
    return layout.gather(state)


@dataclasses.dataclass(frozen=True)
class Workspace:
  """Where the stages of a paradigm run, keep what a kill must not lose, report.

  Attributes:
    folder: one folder a stage is made in it.
    on_round: is told of every round of every stage.
    every: rounds between two checkpoints.
  """

  folder: pathlib.Path
  on_round: OnRound = lambda done: None
  every: int = 10

  def train(
    self,
    stage: str,
    layout: Layout,
    make_learner: MakeLearner,
    key: jax.Array,
    training_set: TrainingSet,
    keep_all: bool = False,
  ) -> Any:
    """Trains the networks of a stage.

    Args:
      stage: its name, and that of its folder.
      layout: which model runs where.
      make_learner: how one model learns.
      key: root of every draw.
      training_set: of all models; it has entered.
      keep_all: whether the checkpoint of every epoch is kept, the fresh
        networks' as that of epoch 0 among them.

    Returns:
      The trained states on the host, leaves [M,...].

    Raises:
      UserError: see `repeat`; the name of the stage stands before it.
    """
    learner = make_learner(training_set)
    folder = self.folder / stage
    if hosts.is_lead():
      folder.mkdir(parents=True, exist_ok=True)
      files.write_json(folder / _IDENTITY, _identity(learner, training_set))
    rounds = training(learner, key, training_set)
    return self.repeat(stage, layout, rounds, keep_all)

  def repeat(
    self, stage: str, layout: Layout, rounds: Rounds, keep_all: bool = False
  ) -> Any:
    """Runs the rounds of a stage whose last state is its result; see `train`.

    Args:
      stage: its name, and that of its folder.
      layout: which model runs where.
      rounds: what is repeated.
      keep_all: as in `train`.
    """
    every = 1 if keep_all else self.every
    checkpoints = Checkpoints(self.folder / stage, every, keep_all)
    # The settings that it speaks of are the stage's, not the whole run's.
    with prefixed(stage):
      return repeat(layout, rounds, checkpoints, self.on_round, stage)

  def produce(self, stage: str, layout: Layout, rounds: Rounds) -> Shards:
    """Runs the rounds of a stage whose outputs are its result; see `train`.

    The outputs of a round, such as a batch of samples of each model, are on
    disk before the next one begins, and are read when they are asked for.

    Args:
      stage: its name, and that of its folder.
      layout: which model runs where.
      rounds: what is repeated.
    """
    folder = self.folder / stage
    shards = Shards(folder / "shards", rounds.number)
    checkpoints = Checkpoints(folder / "states", self.every)
    with prefixed(stage):
      repeat(layout, rounds, checkpoints, self.on_round, stage, shards)
    return shards

  def repeat_on_host(self, stage: str, rounds: HostRounds) -> Any:
    """Runs the rounds of a stage outside JAX: its last state."""
    checkpoints = Checkpoints(self.folder / stage, self.every)
    with prefixed(stage):
      return repeat_on_host(rounds, checkpoints, self.on_round, stage)

  def produce_on_host(self, stage: str, rounds: HostRounds) -> Shards:
    """Runs the rounds of a stage outside JAX: their outputs."""
    shards = Shards(self.folder / stage / "shards", rounds.number)
    with prefixed(stage):
      produce_on_host(rounds, shards, self.on_round, stage)
    return shards

  def checkpoints(self, stage: str) -> Checkpoints:
    """Those that a stage has left."""
    return Checkpoints(self.folder / stage)

  def reuse(
    self,
    setting: str,
    path: str,
    make_learner: MakeLearner,
    training_set: TrainingSet,
  ) -> Checkpoints:
    """A finished stage of another run, in the place of training it here.

    Args:
      setting: the field that names its folder, for errors.
      path: the folder of the stage.
      make_learner: how it would be trained here.
      training_set: on what it would be trained here.

    Returns:
      Its checkpoints; that of the last epoch is sound.

    Raises:
      UserError: no stage is there, one of another identity (other settings,
        data, or version), or one that has not ended.
    """
    folder = pathlib.Path(path).expanduser()
    learner = make_learner(training_set)
    wanted = _identity(learner, training_set)
    with prefixed(f"{setting}={path}"):
      if not (folder / _IDENTITY).is_file():
        raise UserError(
          "no trained networks there; the folder of a stage of an earlier run"
          " needed, such as WORKDIR/ensemble"
        )
      stored = files.read_json(folder / _IDENTITY)
      if not isinstance(stored, dict):
        raise UserError(f"{folder / _IDENTITY}: damaged")
      differing = identity.differences(stored, wanted)
      if differing:
        raise UserError(f"of another identity ({'; '.join(differing)})")
      checkpoints = Checkpoints(folder)
      if not checkpoints.sound(learner.num_epochs):
        raise UserError(
          f"its checkpoint of epoch {learner.num_epochs} is damaged or missing"
        )
    return checkpoints


def _identity(learner: Learner, training_set: TrainingSet) -> dict[str, Any]:
  """What decides the states of a stage, but its key."""
  images, labels, members = training_set[:3]
  return {
    **learner.identity,
    **identity.circumstances(),
    "data set": identity.digest(images, labels),
    "split": identity.digest(members),
  }


def _check_finite(
  rounds: Rounds, number: int, metrics: dict[str, np.ndarray]
) -> None:
  for name, values in metrics.items():
    broken = np.flatnonzero(~np.isfinite(values))
    if broken.size:
      raise UserError(
        f"{rounds.rate}: the {name} of model {broken[0]} became"
        f" {values[broken[0]]} in round {number} of {rounds.number}; choose a"
        " smaller one or more warm-up"
      )
