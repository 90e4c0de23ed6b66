"""The first half of an audit: from data to the logits of all models."""

import pathlib

import jax
import numpy as np
from rich.console import Console

from syndata_jax import __version__, data
from syndata_jax.attack import (
  PredictionFile,
  Predictions,
  save_predictions,
)
from syndata_jax.data import augmentation
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import Checkpoints, memory, predict
from syndata_jax.ensemble.flops import peak_flops
from syndata_jax.ensemble.predict import accuracy
from syndata_jax.ensemble.state import EnsembleState
from syndata_jax.ensemble.train import EpochReport
from syndata_jax.keys import stream
from syndata_jax.programs import guarantee, synthetic
from syndata_jax.programs import workdir as workdirs
from syndata_jax.programs.plan import Plan, flops_per_image, make_plan
from syndata_jax.programs.settings import Settings, mechanism
from syndata_jax.reporting import progress
from syndata_jax.reporting.formats import counted


def train_and_query(
  settings: Settings,
  path: str,
  data_dir: str | None,
  device_axis: str,
  console: Console,
) -> pathlib.Path:
  """Runs an audit up to `predictions.npz`, or as far as it is not yet there.

  Returns:
    The workdir.

  Raises:
    UserError: settings, data or workdir are not right; nothing was written.
  """
  plan = make_plan(settings, data_dir, device_axis)
  identity = {
    **mechanism(settings),
    "data": workdirs.fingerprint(plan.dataset),
    "version": __version__,
  }
  workdir = workdirs.open_workdir(path, identity)
  guarantee.state(workdir, plan.paradigm.statement)
  if not (workdir / "split.npz").exists():
    data.save_split(workdir / "split.npz", plan.split)
  if not (workdir / "predictions.npz").exists():
    with memory.exhaustion(plan.engine.layout):
      key = jax.random.key(settings.seed)
      made = synthetic.synthesize(
        plan,
        stream(key, "synthesize"),
        workdir,
        settings.performance.checkpoint_every,
        console,
      )
      _describe(plan, settings, workdir, made.seconds)
      state = _train(plan, settings, made.training_set, workdir, console)
      found = _query(plan, state, made.training_set)
    save_predictions(workdir / "predictions.npz", found)
  return workdir


def _train(
  plan: Plan,
  settings: Settings,
  training_set: TrainingSet,
  workdir: pathlib.Path,
  console: Console,
) -> EnsembleState:
  """Learns, with checkpoints, a progress bar and metrics."""
  title = counted(settings.num_models, "model")
  with progress(title, settings.num_epochs, console) as advance:

    def on_epoch(report: EpochReport) -> None:
      record = report._asdict() | {
        "loss": float(report.loss.mean()),
        "accuracy": float(report.accuracy.mean()),
      }
      workdirs.add_metrics(workdir, record)
      advance(*record.values())

    return plan.paradigm.learn(
      stream(jax.random.key(settings.seed), "learn"),
      training_set,
      Checkpoints(workdir / "ensemble", settings.performance.checkpoint_every),
      on_epoch,
    )


def _describe(
  plan: Plan, settings: Settings, workdir: pathlib.Path, seconds: float
) -> None:
  """Notes what the report needs to know of the machine and the network."""
  engine, devices = plan.engine, plan.engine.layout.devices
  peak = peak_flops(devices[0], engine.dtype)
  machine = {
    "device": devices[0].device_kind,
    "devices": len(devices),
    "precision": engine.dtype.name,
    "training_flops_per_image": flops_per_image(settings, plan),
    "peak_flops": peak,
    "synthesize_seconds": seconds,
  }
  workdirs.write_json(workdir / "machine.json", machine)


def _query(
  plan: Plan, state: EnsembleState, training_set: TrainingSet
) -> PredictionFile:
  """Logits of the audited examples under every view, and test accuracy."""
  split, engine = plan.split, plan.paradigm.engine
  recipe = engine.recipe  # the attacker queries what training showed

  def views(index: np.ndarray, membership: np.ndarray) -> Predictions:
    images = np.asarray(
      augmentation.audit_views(
        plan.private.images[index], recipe.shift, recipe.flip
      )
    )  # [Q,A,H,W,C]
    logits = predict(engine, state, images.reshape(-1, *images.shape[2:]))
    logits = logits.reshape(logits.shape[0], *images.shape[:2], -1)
    return Predictions(
      np.moveaxis(logits, 0, 1), split.labels[index], membership
    )

  return PredictionFile(
    canaries=views(split.canary_index, split.membership),
    average=(
      views(split.average_index, split.average_membership)
      if len(split.average_index)
      else None
    ),
    test_accuracy=accuracy(
      engine, state, plan.dataset.test_images, plan.dataset.test_labels
    ),
    selected=synthetic.selected(training_set, split),
  )
