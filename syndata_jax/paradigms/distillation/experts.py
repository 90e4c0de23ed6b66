"""Expert trajectories: networks trained on each model's private data.

All experts of all shadow models are one ensemble, and a trajectory is what its
checkpoints hold: the parameters before training and after every epoch.
Sources: Cazenavette et al., arXiv 2203.11932, section 3.1; with `sharpness`
Du et al., arXiv 2211.11004 (FTD), whose step is that of GSAM, Zhuang et al.,
arXiv 2203.08065, algorithm 1, with the adaptive radius of Kwon et al., arXiv
2102.11600.
"""

import hashlib
import json
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree

from syndata_jax.data.training_set import TrainingSet, Whitening
from syndata_jax.ensemble import (
  Checkpoints,
  Learner,
  Workspace,
  make_layout,
)
from syndata_jax.ensemble.epoch import (
  Answers,
  Own,
  Pool,
  answers,
  mean,
  shuffled_batches,
)
from syndata_jax.ensemble.train import fitted
from syndata_jax.errors import UserError
from syndata_jax.keys import stream
from syndata_jax.paradigms.distillation.setup import Setup
from syndata_jax.paradigms.interface import Private

_IDENTITY = "experts.json"
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
_PARAMS = 1  # among the leaves of Expert
# Of the surrogate gap: how much of the clean gradient's other part is undone.
_GAP = 0.3


class Expert(NamedTuple):
  """One expert in training: without momentum there is nothing else."""

  step: jax.Array  # i32[]
  params: jax.Array  # f32[P], flat


class Pair(NamedTuple):
  """Where a network starts and where it ought to come to."""

  start: Any  # f32[...,P]
  target: Any  # f32[...,P]


class Trajectories(NamedTuple):
  """The stored snapshots of all experts.

  Attributes:
    snapshots: one checkpoint an epoch, arrays [M*E,...].
    epochs: the last of them.
    num_experts: E, of each model.
  """

  snapshots: Checkpoints
  epochs: int
  num_experts: int
  temporary: Any = None  # removes its folder when nobody holds it any more

  def params(self, model: int, expert: int, epoch: int) -> np.ndarray:
    """One snapshot, f32[P], and no more is read."""
    row = model * self.num_experts + expert
    return self.snapshots.rows(epoch, _PARAMS, np.array([row]))[0]

  def trained(self, expert: int, num_models: int) -> np.ndarray:
    """One trained expert of every model, f32[M,P]."""
    each = range(num_models)
    return np.stack([self.params(m, expert, self.epochs) for m in each])


def train(
  setup: Setup,
  key: jax.Array,
  private: Private,
  whitening: Whitening | None,
  workspace: Workspace,
) -> Trajectories:
  """Trains the experts of all models as one job, or reads stored ones.

  Args:
    setup: settings and tools.
    key: root of every draw; expert e of model m draws from its own branch.
    private: of all models; each expert sees its own model's members alone.
    whitening: of all models, None for normalised pixels.
    workspace: where the snapshots go; without a folder they are temporary.

  Raises:
    UserError: stored experts of another network, training, data set or split,
      or damaged ones.
  """
  options = setup.options
  epochs = workspace.rounds(options.expert_epochs)
  temporary = None
  if options.experts:
    folder = _existing(options.experts)
  elif workspace.folder is None:
    temporary = tempfile.TemporaryDirectory()
    folder = pathlib.Path(temporary.name)
  else:
    folder = workspace.folder / "experts"
  snapshots = Checkpoints(folder / "snapshots", every=1, keep_all=True)
  identity = _identity(setup, private)
  if options.experts:
    _refuse_others(options.experts, folder, identity)
  else:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _IDENTITY).write_text(json.dumps(identity, indent=2) + "\n")
    _run(setup, key, private, whitening, workspace, snapshots)
  for epoch in range(epochs + 1):
    if not snapshots.sound(epoch):
      raise UserError(
        f"{folder}: the snapshot of epoch {epoch} is damaged or missing; delete"
        " the folder to train the experts again"
      )
  return Trajectories(snapshots, epochs, options.num_experts, temporary)


def _run(
  setup: Setup,
  key: jax.Array,
  private: Private,
  whitening: Whitening | None,
  workspace: Workspace,
  snapshots: Checkpoints,
) -> None:
  """Trains what the snapshots do not hold yet."""
  count, layout = setup.options.num_experts, setup.engine.layout
  learner = sgd(setup, private, whitening)
  data = TrainingSet(
    private.images, private.labels, np.repeat(private.members, count, axis=0)
  )
  experts = make_layout(
    layout.num_models * count, layout.device_axis, 0, layout.devices
  )
  key = stream(key, "experts")
  experts = fitted(experts, learner, key, data)
  workspace.train("experts", experts, learner, key, data, snapshots)


def sgd(setup: Setup, private: Private, whitening: Whitening | None) -> Learner:
  """How one expert learns: constant rate, no momentum, no decay."""
  options, network = setup.options, setup.network
  size = private.members.shape[1]
  batch = min(options.expert_batch, size)
  steps = -(-size // batch)
  unravel = setup.unravel()

  def init(key: jax.Array) -> Expert:
    return Expert(jnp.zeros((), jnp.int32), ravel_pytree(network.init(key))[0])

  def epoch(state: Expert, own: Own, pool: Pool):
    key = jax.random.fold_in(stream(own.key, "order"), state.step // steps)
    order = shuffled_batches(key, own.members, batch, steps)
    shadow = jnp.asarray(own.number) // options.num_experts
    mine = jax.tree.map(lambda a: a[shadow], pool.extra)

    def one_step(state: Expert, index: jax.Array):
      key = jax.random.fold_in(stream(own.key, "augmentation"), state.step)
      images = setup.vary(key, setup.read(pool.images[index], mine))
      labels = pool.labels[index]

      def loss(flat: jax.Array) -> tuple[jax.Array, Answers]:
        found = answers(network.logits(unravel(flat), images), labels)
        return found.loss.mean(), found

      gradient, found = _gradient(loss, state.params, options.sharpness)
      params = state.params - options.expert_learning_rate * gradient
      return Expert(state.step + 1, params), found

    state, found = lax.scan(one_step, state, order)
    return state, mean(found)

  return Learner(
    options.expert_epochs, steps * batch, init, epoch, shared=whitening
  )


def _gradient(
  loss: Callable[[jax.Array], tuple[jax.Array, Answers]],
  params: jax.Array,
  sharpness: float,
) -> tuple[jax.Array, Answers]:
  """The gradient that an expert follows, and the answers before the step."""
  clean, found = jax.grad(loss, has_aux=True)(params)
  if not sharpness:
    return clean, found
  # The tiny constant keeps a gradient of zero from dividing by zero.
  length = jnp.linalg.norm(jnp.abs(params) * clean) + 1e-12
  perturbed, _ = jax.grad(loss, has_aux=True)(
    params + sharpness * params**2 * clean / length
  )
  along = (clean @ perturbed) / (perturbed @ perturbed + 1e-12)
  return perturbed - _GAP * (clean - along * perturbed), found


def _existing(path: str) -> pathlib.Path:
  folder = pathlib.Path(path).expanduser()
  if not (folder / _IDENTITY).is_file():
    raise UserError(
      f"experts={path}: no experts there; synthetic/experts of an earlier run's"
      " workdir needed"
    )
  return folder


def _identity(setup: Setup, private: Private) -> dict[str, Any]:
  """What experts must have in common to take each other's place."""
  options = setup.options
  digest = lambda *arrays: hashlib.sha256(
    b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)
  ).hexdigest()[:16]
  return {name: getattr(options, name) for name in _DECISIVE} | {
    "data set": digest(private.images, private.labels),
    "split": digest(private.members),
  }


def _refuse_others(
  given: str, folder: pathlib.Path, here: dict[str, Any]
) -> None:
  try:
    there = json.loads((folder / _IDENTITY).read_text())
  except ValueError as error:
    raise UserError(f"{folder / _IDENTITY}: damaged ({error})") from error
  differing = [
    f"{name} is {there.get(name)!r} there and {value!r} here"
    for name, value in here.items()
    if there.get(name) != value
  ]
  if differing:
    raise UserError(
      f"experts={given}: of other settings ({'; '.join(differing)})"
    )
