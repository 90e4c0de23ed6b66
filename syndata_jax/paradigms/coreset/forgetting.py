"""Forgetting events: learnt once, wrong the next time it was met.

An example is judged each time it enters a batch, before the update, by the
network in training mode. An event is a wrong answer right after a right one;
nothing was right before the first meeting. Source: Toneva et al., arXiv
1812.05159, section 3.1.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from syndata_jax import validate
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import (
  Engine,
  Learner,
  Own,
  Pool,
  make_step,
  sgd,
  shuffled_batches,
  steps_per_epoch,
)
from syndata_jax.ensemble.recipe import optimizer
from syndata_jax.ensemble.sgd import ModelState, means
from syndata_jax.keys import stream

CONVENTIONS = ("max", "zero")


class History(NamedTuple):
  """What is remembered of the meetings so far; nothing of size T x N."""

  right: jax.Array  # bool[N], the answer of the last meeting
  learned: jax.Array  # bool[N], whether any answer was right
  events: jax.Array  # i32[N]


class Recorded(NamedTuple):
  """One model in training, and what it learnt and forgot."""

  model: ModelState
  history: History


def forgetting_counts(
  correct: jax.typing.ArrayLike, never_learned: str = "max"
) -> jax.Array:
  """Forgetting events of every example.

  Args:
    correct: bool[T,N], the answers at T meetings.
    never_learned: the count of an example that was never right: "max" is T,
      above any number of events (Toneva et al.); "zero" is 0, as if it had
      never been forgotten (DeepCore, Guo et al., arXiv 2204.08499).

  Returns:
    f32[N].

  Raises:
    UserError: another convention.
  """
  correct = jnp.asarray(correct, bool)
  history, _ = lax.scan(
    lambda history, now: (meet(history, now), None),
    nothing_met(correct.shape[1]),
    correct,
  )
  return counts(history, correct.shape[0], never_learned)


def nothing_met(size: int) -> History:
  """The history of N examples before training."""
  never = jnp.zeros(size, bool)
  return History(never, never, jnp.zeros(size, jnp.int32))


def meet(history: History, right: jax.Array) -> History:
  """Adds one meeting of every example, bool[N]."""
  return History(
    right, history.learned | right, history.events + (history.right & ~right)
  )


def counts(history: History, meetings: int, never_learned: str) -> jax.Array:
  """The score f32[...,N] of a history; see `forgetting_counts`."""
  validate.one_of(CONVENTIONS, never_learned=never_learned)
  unlearned = meetings if never_learned == "max" else 0
  return jnp.where(history.learned, history.events, unlearned).astype(
    jnp.float32
  )


def recording_sgd(
  engine: Engine, training_set: TrainingSet, steps: int = 0
) -> Learner:
  """SGD by the engine's recipe on untouched images, with a history.

  The trained state is a `Recorded` whose history has a place for each of the
  model's members, in their order.

  Args:
    engine: network and recipe.
    training_set: a pool with rows.
    steps: of an epoch, where it is to be shorter, for a trial.

  Raises:
    UserError: a batch larger than one model's data.
  """
  plain, size = sgd(engine, training_set, steps), training_set.size
  batch = engine.recipe.batch_size
  whole = steps_per_epoch(engine.recipe, size)
  steps = min(steps or whole, whole)
  untouched = lambda key, images, index: images[index]
  update = make_step(engine, optimizer(engine.recipe, steps), untouched)

  def init(own: Own, pool: Pool) -> Recorded:
    return Recorded(plain.init(own, pool), nothing_met(size))

  def epoch(
    state: Recorded, own: Own, pool: Pool
  ) -> tuple[Recorded, dict[str, jax.Array]]:
    rows: Any = own.rows
    key = stream(own.key, "order")
    key = jax.random.fold_in(key, state.model.step // steps)
    places = shuffled_batches(key, jnp.arange(size), batch, steps)
    model, metrics = lax.scan(
      lambda model, batch: update(model, rows[batch], own, pool),
      state.model,
      places,
    )
    # Those who fill up the last batch have been met before in this epoch.
    met = places.reshape(-1)[:size]
    first = metrics["accuracy"].reshape(-1)[:size]
    now = jnp.zeros(size, bool).at[met].set(first)
    return Recorded(model, meet(state.history, now)), means(metrics)

  identity = {**plain.identity, "recorded": "answers"}
  return plain._replace(
    init=init,
    epoch=epoch,
    release=lambda state: plain.release(state.model),
    identity=identity,
  )
