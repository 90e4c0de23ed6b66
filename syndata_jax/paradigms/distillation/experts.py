"""Expert trajectories: networks trained on each model's private data.

All experts of all shadow models are one ensemble, and a trajectory is what its
checkpoints hold: the parameters before training and after every epoch.
Sources: Cazenavette et al., arXiv 2203.11932, section 3.1; with `sharpness`
Du et al., arXiv 2211.11004 (FTD), whose step is that of GSAM, Zhuang et al.,
arXiv 2203.08065, algorithm 1, with the adaptive radius of Kwon et al., arXiv
2102.11600.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from syndata_jax.data.training_set import Private, TrainingSet
from syndata_jax.ensemble import (
  Checkpoints,
  Learner,
  Own,
  Pool,
  Workspace,
  answers,
  data,
  make_epoch,
)
from syndata_jax.ensemble.sgd import Answers
from syndata_jax.errors import UserError
from syndata_jax.keys import stream
from syndata_jax.paradigms.distillation import whitening as whitenings
from syndata_jax.paradigms.distillation.options import ExpertOptions
from syndata_jax.paradigms.distillation.setup import Setup
from syndata_jax.paradigms.distillation.whitening import Whitening

STAGE = "experts"
# Settings that decide a trajectory, beside data and key.
_DECISIVE = (
  "distill_model",
  "distill_model_options",
  "whiten",
  "augmentation",
  "num_experts",
  "expert_epochs",
  "expert_batch",
  "expert_learning_rate",
  "sharpness",
)
# Of the surrogate gap: how much of the clean gradient's other part is undone.
# `--alpha=0.3` in the command that the README of DATM's code gives for its
# experts (Guo et al., arXiv 2310.05773; buffer_FTD.py).
_GAP = 0.3


class Expert(NamedTuple):
  """One expert in training: without momentum there is nothing else."""

  step: jax.Array  # i32[]
  params: jax.Array  # f32[P], flat


class Trajectories(NamedTuple):
  """The stored snapshots of all experts.

  Attributes:
    checkpoints: one an epoch, arrays [M*E,...].
    read: what is asked of them.
    epochs: the last of them.
    num_experts: E, of each model.
  """

  checkpoints: Checkpoints
  read: Callable[[int, str, int], np.ndarray]
  epochs: int
  num_experts: int

  def params(self, model: int, expert: int, epoch: int) -> np.ndarray:
    """One snapshot, f32[P], and no more is read."""
    return self.read(epoch, "params", model * self.num_experts + expert)

  def trained(self, expert: int, num_models: int) -> np.ndarray:
    """One trained expert of every model, f32[M,P]."""
    models = range(num_models)
    return np.stack([self.params(m, expert, self.epochs) for m in models])


def train(
  setup: Setup,
  key: jax.Array,
  private: Private,
  whitening: Whitening | None,
  workspace: Workspace,
) -> Trajectories:
  """Trains the experts of all models as one job, or takes stored ones.

  Args:
    setup: settings and tools.
    key: root of every draw; expert e of model m draws from its own branch.
    private: of all models; each expert sees its own model's members alone.
    whitening: of all models, None for normalised pixels.
    workspace: keeps the snapshots.

  Raises:
    UserError: stored experts of another network, training, data set or split,
      or damaged ones.
  """
  options = setup.options
  training_set = repeated(private, options.num_experts)
  make_learner = partial(learner, setup, whitening)
  if options.experts:
    folder = options.experts
    checkpoints = workspace.reuse(STAGE, folder, make_learner, training_set)
  else:
    folder = str(workspace.folder / STAGE)
    workspace.train(
      STAGE,
      setup.engine.layout.spread(training_set.num_models),
      make_learner,
      stream(key, STAGE),
      training_set,
      keep_all=True,
    )
    checkpoints = workspace.checkpoints(STAGE)
  # A dry run trains fewer epochs than it asks for.
  epochs = max(checkpoints.epochs())
  for epoch in _needed(options, epochs):
    if not checkpoints.sound(epoch):
      raise UserError(
        f"experts: {folder}: the snapshot of epoch {epoch} is damaged or"
        " missing; delete the folder to train them again"
      )
  return Trajectories(
    checkpoints, checkpoints.reader(), epochs, options.num_experts
  )


def repeated(private: Private, num_experts: int) -> TrainingSet:
  """The private data for E experts of each model; expert e of m is m*E + e.

  Each is given the number of its model, and not the model's whitening itself,
  of which there are then M and not M*E: a hundred experts of 32 models would
  own 120 GB of them at CIFAR's size, where all devices share 1.2 GB.
  """
  models = np.arange(len(private.members), dtype=np.int32)
  return TrainingSet(
    private.images,
    private.labels,
    np.repeat(private.members, num_experts, axis=0),
    released={"shadow": np.repeat(models, num_experts)},
  )


def learner(
  setup: Setup,
  whitening: Whitening | None,
  training_set: TrainingSet,
  steps: int = 0,
) -> Learner:
  """How one expert learns: constant rate, no momentum, no decay.

  Args:
    setup: settings and tools.
    whitening: of all models, None for normalised pixels.
    training_set: of all experts; see `repeated`.
    steps: of an epoch, where it is to be shorter than the data, for a trial.
  """
  options, network = setup.options, setup.network
  batch = min(options.expert_batch, training_set.size)
  whole = -(-training_set.size // batch)
  steps = min(steps or whole, whole)
  unravel = setup.unravel()

  def init(own: Own, pool: Pool) -> Expert:
    del pool
    params = ravel_pytree(network.init(own.key))[0]
    return Expert(jnp.zeros((), jnp.int32), params)

  def step(
    state: Expert, index: jax.Array, own: Own, pool: Pool
  ) -> tuple[Expert, dict[str, jax.Array]]:
    key = jax.random.fold_in(stream(own.key, "augmentation"), state.step)
    images, labels, _ = data(own, pool)
    batch = setup.read(images[index], whitenings.from_released(own.released))
    batch = setup.vary(key, batch)

    def loss(flat: jax.Array) -> tuple[jax.Array, Answers]:
      answered = answers(network.logits(unravel(flat), batch), labels[index])
      return answered.loss.mean(), answered

    gradient, answered = _gradient(loss, state.params, options.sharpness)
    params = state.params - options.expert_learning_rate * gradient
    metrics = {"loss": answered.loss, "accuracy": answered.correct}
    return Expert(state.step + 1, params), metrics

  one_epoch = make_epoch(step, batch, steps)

  def epoch(
    state: Expert, own: Own, pool: Pool
  ) -> tuple[Expert, dict[str, jax.Array]]:
    # Once an epoch: a whitening is large, and a step would copy it.
    shadow = own.released["shadow"]
    mine = jax.tree.map(lambda of_all: of_all[shadow], pool.shared)
    own = own._replace(released=whitenings.to_released(mine))
    return one_epoch(state, own, pool)

  return Learner(
    num_epochs=options.expert_epochs,
    images=lambda epoch: steps * batch,
    init=init,
    epoch=epoch,
    release=lambda state: {"params": jax.vmap(unravel)(state.params)},
    shared=whitening,
    setting="expert_epochs",
    rate="expert_learning_rate",
    identity={name: getattr(options, name) for name in _DECISIVE}
    | {"mean": list(setup.engine.mean), "std": list(setup.engine.std)},
  )


def _needed(options: ExpertOptions, last: int) -> list[int]:
  """Epochs that a segment may start or end at, and the last."""
  starts = range(options.min_start, options.max_start)
  ends = [start + options.target_epochs for start in starts]
  return sorted({min(epoch, last) for epoch in (*starts, *ends, last)})


def _gradient(
  loss: Callable[[jax.Array], tuple[jax.Array, Answers]],
  params: jax.Array,
  sharpness: float,
) -> tuple[jax.Array, Answers]:
  """The gradient that an expert follows, and the answers before the step."""
  clean, answered = jax.grad(loss, has_aux=True)(params)
  if not sharpness:
    return clean, answered
  # The tiny constant keeps a gradient of zero from dividing by zero.
  length = jnp.linalg.norm(jnp.abs(params) * clean) + 1e-12
  perturbed, _ = jax.grad(loss, has_aux=True)(
    params + sharpness * params**2 * clean / length
  )
  along = (clean @ perturbed) / (perturbed @ perturbed + 1e-12)
  return perturbed - _GAP * (clean - along * perturbed), answered
