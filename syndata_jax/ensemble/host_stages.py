"""Stages outside JAX: rounds of another library's program, model after model.

They continue and report as those of `stages` do. A stage either carries a
state, which its checkpoints hold, or has outputs, one file a round.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from syndata_jax.ensemble.checkpoints import Checkpoints
from syndata_jax.ensemble.round import OnRound, Round
from syndata_jax.ensemble.shards import Shards
from syndata_jax.errors import UserError


class HostRounds(NamedTuple):
  """What a stage repeats; all arrays are NumPy's.

  Attributes:
    number: rounds of the whole stage, over all models.
    num_models: M.
    run: `(round, state) -> (state, metrics, outputs)`, 1 is the first. Metrics
      are named numbers, outputs nested dicts of arrays. A round follows from
      its number and the state alone.
    init: `() -> state` before the first round, nested dicts of arrays; None of
      a stage that has outputs.
    images: of one round.
    setting: the field behind `number`, for errors.
    rate: the field to lower where a loss diverges, for errors.
  """

  number: int
  num_models: int
  run: Callable[[int, Any], tuple[Any, dict[str, float], dict[str, Any]]]
  init: Callable[[], Any] = lambda: None
  images: int = 0
  setting: str = "num_epochs"
  rate: str = "learning_rate"


def repeat_on_host(
  rounds: HostRounds, checkpoints: Checkpoints, on_round: OnRound, stage: str
) -> Any:
  """Runs the rounds that the newest checkpoint does not hold yet.

  Args:
    rounds: what is repeated.
    checkpoints: where to continue from and to save to.
    on_round: called after each round of this process.
    stage: its name, for `on_round`.

  Returns:
    The last state.

  Raises:
    UserError: a loss that is no longer finite, or a checkpoint of a longer
      stage or of another state.
  """
  state = rounds.init()
  shapes = jax.tree.map(
    lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), state
  )
  done, state = checkpoints.latest(shapes) or (0, state)
  if done > rounds.number:
    raise UserError(
      f"{rounds.setting}: the newest checkpoint is of round {done} of"
      f" {rounds.number}; train as long, or name another folder"
    )
  for number in range(done + 1, rounds.number + 1):
    state, _ = one_round(rounds, number, state, on_round, stage)
    if checkpoints.due(number, rounds.number):
      checkpoints.save(number, state)
  return state


def produce_on_host(
  rounds: HostRounds, shards: Shards, on_round: OnRound, stage: str
) -> None:
  """Runs the rounds whose outputs are not on disk, whole and undamaged.

  Args:
    rounds: what is repeated; without a state.
    shards: where the outputs go.
    on_round: called after each round of this process.
    stage: its name, for `on_round`.
  """
  for number in range(1, rounds.number + 1):
    if not shards.sound(number):
      _, outputs = one_round(rounds, number, None, on_round, stage)
      shards.save(number, outputs)


def one_round(
  rounds: HostRounds, number: int, state: Any, on_round: OnRound, stage: str
) -> tuple[Any, dict[str, Any]]:
  """Runs and reports one round.

  Args:
    rounds: what is repeated.
    number: of the round.
    state: before it.
    on_round: is told of it.
    stage: its name.

  Returns:
    (state, outputs).

  Raises:
    UserError: a metric is not finite.
  """
  start = time.perf_counter()
  state, metrics, outputs = rounds.run(number, state)
  for name, value in metrics.items():
    if not np.isfinite(value):
      raise UserError(
        f"{rounds.rate}: the {name} became {value} in round {number} of"
        f" {rounds.number}; choose a smaller one"
      )
  left = (rounds.number - number) * rounds.images
  arrays = {n: np.asarray([value], np.float32) for n, value in metrics.items()}
  seconds = time.perf_counter() - start
  on_round(
    Round(stage, number, rounds.number, seconds, rounds.images, left, arrays)
  )
  return state, outputs
