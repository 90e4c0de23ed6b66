"""A compiled step of all models, repeated, with checkpoints between."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from syndata_jax.ensemble import hosts
from syndata_jax.ensemble.checkpoints import Checkpoints
from syndata_jax.ensemble.layout import Layout
from syndata_jax.errors import UserError

# on_round(number, seconds, metrics on the host, leaves [M,...])
OnRound = Callable[[int, float, Any], None]


class Rounds(NamedTuple):
  """What is repeated.

  Attributes:
    number: rounds of the whole stage.
    setting: the name of the setting behind `number`, for errors.
    run: `(states, data, shared) -> (states, metrics)`, compiled by a layout
      with donated states.
    fresh: the states before the first round, not placed yet, leaves [M,...].
    shapes: of the states.
    data: what the models are given in a round (1 is the first), placed.
  """

  number: int
  setting: str
  run: jax.stages.Wrapped
  fresh: Callable[[], Any]
  shapes: Any
  data: Callable[[int], Any]


def repeat(
  layout: Layout,
  rounds: Rounds,
  shared: Any,
  checkpoints: Checkpoints | None,
  on_round: OnRound,
) -> Any:
  """Runs all rounds that the newest checkpoint does not hold yet.

  Args:
    layout: which model runs where.
    rounds: what is repeated.
    shared: what all models share, replicated.
    checkpoints: where to continue from and to save to; none if None.
    on_round: called after each round of this process; the first one's seconds
      include compilation. What it raises ends the stage.

  Returns:
    The last states on the host, leaves [M,...].

  Raises:
    UserError: a checkpoint of a longer stage, or processes that see different
      ones.
  """
  last = rounds.number
  found = checkpoints.latest(rounds.shapes) if checkpoints else None
  done, state = found or (0, None)
  hosts.agree(done, "the newest checkpoint's epoch")
  if done > last:
    raise UserError(
      f"{rounds.setting}={last}: the newest checkpoint is of"
      f" epoch {done}; train as long, or name another folder"
    )
  if done == last and state is not None:
    return state
  if state is None:
    state = rounds.fresh()
    if checkpoints and checkpoints.due(0, last):
      checkpoints.save(0, jax.device_get(state))
  state = layout.place(state)

  for number in range(done + 1, last + 1):
    start = time.perf_counter()
    data = rounds.data(number)
    with jax.transfer_guard("disallow"):  # nothing moves but the metrics
      state, metrics = rounds.run(state, data, shared)
    metrics = layout.gather(metrics)
    seconds = time.perf_counter() - start
    # Reported first: a run killed in between repeats the round and its report.
    on_round(number, seconds, metrics)
    if checkpoints and checkpoints.due(number, last):
      checkpoints.save(number, layout.gather(state))
  return layout.gather(state)
