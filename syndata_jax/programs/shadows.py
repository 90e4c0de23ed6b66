"""The first half of an audit: from data to the logits of all shadow models."""

import pathlib
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from rich.console import Console

from syndata_jax import __version__, data, models, paradigms
from syndata_jax.attack import (
  PredictionFile,
  Predictions,
  save_predictions,
)
from syndata_jax.data import AuditSplit, Dataset, augmentation
from syndata_jax.ensemble import (
  Checkpoints,
  Engine,
  Recipe,
  make_layout,
  predict,
)
from syndata_jax.ensemble.flops import peak_flops, training_flops
from syndata_jax.ensemble.predict import accuracy
from syndata_jax.ensemble.recipe import steps_per_epoch
from syndata_jax.ensemble.state import EnsembleState
from syndata_jax.ensemble.train import EpochReport
from syndata_jax.errors import UserError
from syndata_jax.keys import stream
from syndata_jax.programs import workdir as workdirs
from syndata_jax.programs.settings import Settings, mechanism
from syndata_jax.reporting import progress


class Plan(NamedTuple):
  """An audit that has been checked and can start."""

  dataset: Dataset
  split: AuditSplit
  images: np.ndarray  # u8[N,H,W,C], canaries planted
  engine: Engine
  paradigm: paradigms.Paradigm


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
  if not (workdir / "split.npz").exists():
    data.save_split(workdir / "split.npz", plan.split)
  if not (workdir / "predictions.npz").exists():
    state = _train(plan, settings, workdir, console)
    save_predictions(workdir / "predictions.npz", _query(plan, state))
  return workdir


def make_plan(
  settings: Settings, data_dir: str | None, device_axis: str
) -> Plan:
  """Loads the data, draws the split, builds the network: checks everything."""
  dataset = data.load(settings.dataset, data_dir)
  dataset = data.subset(dataset, settings.num_train, settings.seed)
  split = data.make_split(
    dataset.train_labels,
    settings.num_canaries,
    settings.num_models,
    dataset.num_classes,
    settings.canary_kind,
    settings.seed,
    settings.num_average,
  )
  engine = make_engine(settings, dataset, device_axis)
  steps_per_epoch(engine.recipe, split.members.shape[1])
  paradigm = paradigms.create(settings.paradigm, engine)
  outside = None
  if settings.canary_kind == "out_of_distribution":
    shape, source = dataset.train_images.shape[1:], settings.canary_source
    try:
      outside = data.outside_images(
        settings.num_canaries, shape, settings.seed, source, data_dir
      )
    except UserError as error:
      raise UserError(f"canary_source={source!r}: {error}") from error
  images = data.plant(
    dataset.train_images, split, settings.canary_kind, settings.seed, outside
  )
  return Plan(dataset, split, images, engine, paradigm)


def make_engine(
  settings: Settings, dataset: Dataset, device_axis: str
) -> Engine:
  """The network, recipe and layout that the settings describe."""
  performance = settings.performance
  dtype = jnp.dtype(performance.precision)
  shift = augmentation.shift_size(dataset.train_images.shape[1])
  return Engine(
    model=make_network(settings, dataset, dtype),
    recipe=Recipe(
      num_epochs=settings.num_epochs,
      batch_size=settings.batch_size,
      learning_rate=settings.learning_rate,
      schedule=settings.schedule,
      warmup_epochs=settings.warmup_epochs,
      momentum=settings.momentum,
      weight_decay=settings.weight_decay,
      shift=shift if settings.augment else 0,
      flip=settings.augment and dataset.flip,
    ),
    layout=make_layout(settings.num_models, device_axis, performance.chunk),
    mean=dataset.mean,
    std=dataset.std,
    dtype=dtype,
  )


def make_network(
  settings: Settings, dataset: Dataset, dtype: jnp.dtype
) -> nn.Module:
  """The network, after a trial on the shape of the images, not computed."""
  shape = dataset.train_images.shape[1:]
  try:
    network = models.create(
      settings.model,
      dataset.num_classes,
      dtype=dtype,
      lowering=settings.performance.lowering,
      **settings.model_options,
    )
    images = jax.ShapeDtypeStruct((1, *shape), dtype)
    jax.eval_shape(lambda x: network.init(jax.random.key(0), x), images)
  except UserError:
    raise
  # Options are the user's: a wrong value may raise anything inside a network.
  except Exception as error:
    raise UserError(
      f"model_options={settings.model_options}: no {settings.model} for images"
      f" {list(shape)} is built of these ({str(error).split(chr(10))[0]})"
    ) from error
  return network


def _train(
  plan: Plan, settings: Settings, workdir: pathlib.Path, console: Console
) -> EnsembleState:
  """Synthesizes and learns, with checkpoints, a progress bar and metrics."""
  key = jax.random.key(settings.seed)
  private = paradigms.Private(
    plan.images,
    plan.split.labels,
    plan.split.members,
    plan.dataset.num_classes,
  )
  start = time.perf_counter()
  training_set = plan.paradigm.synthesize(stream(key, "synthesize"), private)
  _describe(plan, settings, workdir, time.perf_counter() - start)
  title = f"{settings.num_models} shadow models"
  with progress(title, settings.num_epochs, console) as advance:

    def on_epoch(report: EpochReport) -> None:
      record = report._asdict() | {
        "loss": float(report.loss.mean()),
        "accuracy": float(report.accuracy.mean()),
      }
      workdirs.add_metrics(workdir, record)
      advance(*record.values())

    return plan.paradigm.learn(
      stream(key, "learn"),
      training_set,
      Checkpoints(workdir / "ensemble", settings.performance.checkpoint_every),
      on_epoch,
    )


def _describe(
  plan: Plan, settings: Settings, workdir: pathlib.Path, seconds: float
) -> None:
  """Notes what the report needs to know of the machine and the network."""
  engine, devices = plan.engine, plan.engine.layout.devices
  counted = models.create(
    settings.model,
    plan.dataset.num_classes,
    lowering="im2col",
    **settings.model_options,
  )
  peak = peak_flops(devices[0], engine.dtype)
  machine = {
    "device": devices[0].device_kind,
    "devices": len(devices),
    "precision": engine.dtype.name,
    "training_flops_per_image": training_flops(counted, plan.images.shape[1:]),
    "peak_flops": peak,
    "synthesize_seconds": seconds,
  }
  workdirs.write_json(workdir / "machine.json", machine)


def _query(plan: Plan, state: EnsembleState) -> PredictionFile:
  """Logits of the audited examples under every view, and test accuracy."""
  split, engine = plan.split, plan.engine
  recipe = engine.recipe  # the attacker queries what training showed

  def views(index: np.ndarray, membership: np.ndarray) -> Predictions:
    images = np.asarray(
      augmentation.audit_views(plan.images[index], recipe.shift, recipe.flip)
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
  )
