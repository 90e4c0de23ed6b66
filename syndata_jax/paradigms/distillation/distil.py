"""Distilling for all models at once: rounds of one compiled program."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from syndata_jax.data.training_set import Whitening
from syndata_jax.ensemble import Layout, Workspace, memory
from syndata_jax.ensemble.epoch import Pool
from syndata_jax.ensemble.rounds import Rounds, repeat
from syndata_jax.ensemble.train import model_keys
from syndata_jax.ensemble.workspace import Round
from syndata_jax.errors import UserError
from syndata_jax.keys import stream
from syndata_jax.paradigms.distillation import (
  datm,
  dc,
  dm,
  dsa,
  mtt,
  real,
  tesla,
)
from syndata_jax.paradigms.distillation.experts import Pair, Trajectories
from syndata_jax.paradigms.distillation.setup import Setup, Shadow
from syndata_jax.paradigms.distillation.synthetic import (
  Distilled,
  Synthetic,
  rule,
)
from syndata_jax.paradigms.interface import Private

METHODS = {
  "datm": datm.make,
  "dc": dc.make,
  "dm": dm.make,
  "dsa": dsa.make,
  "mtt": mtt.make,
  "tesla": tesla.make,
}
# Iterations of one compiled call: fewer calls against more snapshots at once.
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
    workspace: keeps checkpoints.

  Returns:
    The sets after the last iteration, NumPy arrays [M,...].

  Raises:
    UserError: a loss that is no longer finite.
  """
  layout, length = setup.engine.layout, round_length(setup.options.iterations)
  number = setup.options.iterations // length
  keys = model_keys(stream(key, "distil"), layout.num_models)
  rows, counts = real.by_class(private)
  shadow = Shadow(keys, jnp.asarray(rows), jnp.asarray(counts), whitening)
  pool = Pool(jnp.asarray(private.images), jnp.asarray(private.labels))
  optimizer = rule(
    setup.options, jnp.issubdtype(begin.labels.dtype, jnp.floating)
  )
  start = Distilled(
    jnp.zeros(layout.num_models, jnp.int32),
    begin,
    jax.vmap(optimizer.init)(begin),
  )
  feeds = _Feeds(setup, stream(key, "starts"), trajectories, length)
  program = make_round(setup, length)
  layout = _fitted(layout, program, start, (shadow, feeds(1)), pool)
  placed = layout.place(shadow)
  rounds = Rounds(
    workspace.rounds(number),
    "iterations",
    layout.compile(program, donate=True),
    lambda: start,
    jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), start),
    lambda done: (placed, layout.place(feeds(done))),
  )

  def on_round(done: int, seconds: float, losses: np.ndarray) -> None:
    _check_finite(losses, done * length)
    report = Round(
      setup.options.method, done, number, seconds, float(losses.mean())
    )
    workspace.on_round(report)

  end = repeat(
    layout,
    rounds,
    layout.replicate(pool),
    workspace.checkpoints(setup.options.method),
    on_round,
  )
  return end.synthetic


def round_length(iterations: int) -> int:
  """Iterations of a compiled call; they divide the whole."""
  return max(n for n in range(1, _ROUND + 1) if iterations % n == 0)


def make_round(setup: Setup, length: int):
  """`(state, (shadow, fed), pool) -> (state, mean loss)` of one model."""
  step = METHODS[setup.options.method](setup)

  def one_round(state: Distilled, given: tuple[Shadow, Any], pool: Pool):
    shadow, fed = given

    def one(state: Distilled, fed: Any):
      key = jax.random.fold_in(shadow.key, state.iteration)
      state, loss = step(state, key, shadow, pool, fed)
      return state._replace(iteration=state.iteration + 1), loss

    state, losses = lax.scan(one, state, fed, length=length)
    return state, losses.mean()

  return one_round


class _Feeds:
  """What the models are given in each round: starts and targets of experts."""

  def __init__(
    self,
    setup: Setup,
    key: jax.Array,
    trajectories: Trajectories | None,
    length: int,
  ):
    self._setup, self._trajectories, self._length = setup, trajectories, length
    keys = model_keys(key, setup.engine.layout.num_models)

    @jax.jit
    def draws(iterations: jax.Array) -> jax.Array:
      """f32[M,I,2] in [0, 1): which expert, which epoch."""
      of_one = lambda key: jax.vmap(
        lambda i: jax.random.uniform(jax.random.fold_in(key, i), (2,))
      )(iterations)
      return lax.map(of_one, keys)

    self._draws = draws

  def __call__(self, number: int) -> Pair | None:
    """Of round `number`, leaves f32[M,I,P]; None without experts."""
    found = self._trajectories
    if found is None:
      return None
    options = self._setup.options
    iterations = np.arange(self._length) + (number - 1) * self._length
    first = options.min_start
    window = [datm.latest_start(options, int(i)) - first for i in iterations]
    which, where = np.moveaxis(np.asarray(self._draws(iterations)), -1, 0)
    experts = (which * found.num_experts).astype(int)
    # A trial has fewer epochs than the experts of the audit.
    starts = np.minimum(first + (where * window).astype(int), found.epochs - 1)
    targets = np.minimum(starts + options.target_epochs, found.epochs)

    def read(epochs: np.ndarray) -> np.ndarray:
      return np.stack(
        [
          [found.params(m, e, t) for e, t in zip(*own, strict=True)]
          for m, own in enumerate(zip(experts, epochs, strict=True))
        ]
      )

    return Pair(read(starts), read(targets))


def _fitted(
  layout: Layout, program, state: Any, data: Any, shared: Any
) -> Layout:
  """The layout with as many models at once as the memory allows."""

  def lower(one: Layout) -> jax.stages.Lowered:
    return one.compile(program, donate=True).lower(
      one.place(state), one.place(data), one.replicate(shared)
    )

  capacity = memory.capacity(layout.devices[0])
  return memory.fit_program(layout, lower, capacity)


def _check_finite(losses: np.ndarray, iteration: int) -> None:
  broken = np.flatnonzero(~np.isfinite(losses))
  if broken.size:
    raise UserError(
      f"image_learning_rate: the loss of model {broken[0]} became"
      f" {losses[broken[0]]} by iteration {iteration}; choose smaller learning"
      " rates"
    )
