"""Distilling for all models at once: rounds of one compiled program."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from syndata_jax.data.training_set import Private
from syndata_jax.ensemble import Pool, Rounds, Workspace
from syndata_jax.keys import model_keys, stream
from syndata_jax.paradigms.distillation import methods, private_batches
from syndata_jax.paradigms.distillation.experts import Trajectories
from syndata_jax.paradigms.distillation.segments import segments
from syndata_jax.paradigms.distillation.setup import Setup, Shadow
from syndata_jax.paradigms.distillation.synthetic import (
  DistillationState,
  Synthetic,
  rule,
)
from syndata_jax.paradigms.distillation.whitening import Whitening

# Iterations of one compiled call, at most. The two snapshots that each of them
# follows wait on the device, 2.6 MB for a model with the published ConvNet:
# ten are few beside the models themselves, and make the call's own cost small.
_ROUND = 10


def distil(
  setup: Setup,
  key: jax.Array,
  private: Private,
  begin: Synthetic,
  whitening: Whitening | None,
  trajectories: Trajectories | None,
  workspace: Workspace,
) -> Synthetic:
  """Optimises the synthetic sets of all models, each on its own data.

  Args:
    setup: settings and tools.
    key: root of every draw; model i uses its own branch.
    private: of all models.
    begin: the sets before the first iteration, leaves [M,...].
    whitening: of all models, None for normalised pixels.
    trajectories: the experts, for the methods that follow them.
    workspace: runs the rounds, which resume.

  Returns:
    The sets after the last iteration, NumPy arrays [M,...].

  Raises:
    UserError: a loss that is no longer finite.
  """
  options, layout = setup.options, setup.engine.layout
  length = round_length(options.iterations)
  keys = model_keys(stream(key, "distil"), layout.num_models)
  feed: Callable[[int], Any] = lambda number: None
  if trajectories is not None:
    feed = segments(setup, stream(key, "starts"), trajectories, length)
  rows, counts = private_batches.by_class(private, setup.real_batch)
  rounds = Rounds(
    number=options.iterations // length,
    init=make_init(setup),
    program=make_round(setup, length),
    own=Shadow(keys, rows, counts, whitening, begin),
    shared=Pool(private.images, private.labels),
    feed=feed,
    setting="iterations",
    rate="image_learning_rate",
  )
  return workspace.repeat(options.method, layout, rounds).synthetic


def round_length(iterations: int) -> int:
  """Iterations of a compiled call; they divide the whole."""
  return max(n for n in range(1, _ROUND + 1) if iterations % n == 0)


def make_init(setup: Setup) -> Callable[[Shadow, Pool], DistillationState]:
  """`(shadow, pool) -> state` before the first iteration, of one model."""

  def init(shadow: Shadow, pool: Pool) -> DistillationState:
    del pool
    soft = jnp.issubdtype(shadow.begin.labels.dtype, jnp.floating)
    begin = jax.tree.map(jnp.asarray, shadow.begin)
    momentum = rule(setup.options, soft).init(begin)
    return DistillationState(jnp.zeros((), jnp.int32), begin, momentum)

  return init


def make_round(
  setup: Setup, length: int
) -> Callable[..., tuple[DistillationState, dict[str, jax.Array], dict]]:
  """One compiled call of one model, a program of `Rounds`.

  Args:
    setup: settings and tools.
    length: its iterations.

  Returns:
    `(state, shadow, segments or None, pool) -> (state, mean loss, {})`.
  """
  step = methods.find(setup.options.method).make(setup)

  def one_round(
    state: DistillationState, shadow: Shadow, fed: Any, pool: Pool
  ) -> tuple[DistillationState, dict[str, jax.Array], dict]:
    def iteration(
      state: DistillationState, segment: Any
    ) -> tuple[DistillationState, jax.Array]:
      key = jax.random.fold_in(shadow.key, state.iteration)
      state, loss = step(state, key, shadow, pool, segment)
      return state._replace(iteration=state.iteration + 1), loss

    state, losses = lax.scan(iteration, state, fed, length=length)
    return state, {"loss": losses.mean()}, {}

  return one_round
