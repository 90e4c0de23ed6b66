"""An audit before it starts: every setting checked, nothing written."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from syndata_jax import data, models, paradigms
from syndata_jax.data import AuditSplit, Dataset, augmentation
from syndata_jax.ensemble import Engine, Recipe, make_layout
from syndata_jax.ensemble.flops import training_flops
from syndata_jax.errors import UserError, prefixed
from syndata_jax.programs.settings import Settings


class Plan(NamedTuple):
  """An audit that has been checked and can start."""

  settings: Settings
  dataset: Dataset
  split: AuditSplit
  private: paradigms.Private  # canaries planted
  paradigm: paradigms.Paradigm
  dummies: np.ndarray  # u8[D,H,W,C], images that are queried and not trained on


def make_plan(
  settings: Settings, data_dir: str | None, device_axis: str
) -> Plan:
  """Loads the data, and plans the audit of them; see `plan_for`."""
  dataset = data.load(settings.dataset, data_dir)
  return plan_for(settings, dataset, data_dir, device_axis)


def plan_for(
  settings: Settings,
  dataset: Dataset,
  data_dir: str | None = None,
  device_axis: str = "shard_map",
) -> Plan:
  """Draws the split, builds the network: checks everything.

  Args:
    settings: of the audit.
    dataset: to audit.
    data_dir: where files of other sources are, such as those of canaries.
    device_axis: how models are split over devices.

  Raises:
    UserError: settings or data are not right.
  """
  dataset = data.subset(dataset, settings.num_train, settings.seed)
  split = make_split(settings, dataset)
  engine = make_engine(settings, dataset, device_axis)
  kind, seed, count = settings.canary_kind, settings.seed, settings.num_canaries
  outside, most = None, count
  if kind == "out_of_distribution":
    shape, source = dataset.train_images.shape[1:], settings.canary_source
    with prefixed(f"canary_source={source!r}"):
      outside = data.outside_images(count, shape, seed, source, data_dir, count)
    most = len(outside) - count
  split = data.add_dummies(
    split, dataset.test_labels, dataset.num_classes, kind, seed, most
  )
  images = data.plant(dataset.train_images, split, kind, seed, outside)
  dummies = data.dummy_images(dataset.test_images, split, kind, seed, outside)
  private = paradigms.Private(
    images,
    split.labels,
    split.members,
    dataset.num_classes,
    split.canary_index,
  )
  paradigm = paradigms.create(
    settings.paradigm, engine, settings.options, private
  )
  return Plan(settings, dataset, split, private, paradigm, dummies)


def make_split(settings: Settings, dataset: Dataset) -> AuditSplit:
  """Who trains on what, by the design of the chosen audit; no dummies yet."""
  design = (dataset.num_classes, settings.canary_kind, settings.seed)
  labels, canaries = dataset.train_labels, settings.num_canaries
  average = settings.num_average
  if settings.audit == "one_run":
    return data.make_coin_split(labels, canaries, *design, average)
  return data.make_split(
    labels, canaries, settings.num_models, *design, average
  )


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
    name=settings.model,
    options=tuple(sorted(settings.model_options.items())),
  )


def flops_per_image(plan: Plan) -> float:
  """Floating-point operations to train the network on one image."""
  network = build(plan.settings, plan.dataset, lowering="im2col")
  return training_flops(network, plan.private.images.shape[1:])


def build(settings: Settings, dataset: Dataset, **wanted: Any) -> nn.Module:
  """The network, with those of the options `wanted` that it accepts."""
  options = models.accepted(settings.model, **wanted) | settings.model_options
  return models.create(settings.model, dataset.num_classes, **options)


def make_network(
  settings: Settings, dataset: Dataset, dtype: jnp.dtype
) -> nn.Module:
  """The network, after a trial on the shape of the images, not computed."""
  shape = dataset.train_images.shape[1:]
  try:
    lowering = settings.performance.lowering
    network = build(settings, dataset, dtype=dtype, lowering=lowering)
    models.check(network, shape, dataset.num_classes, dtype, settings.model)
  except UserError as error:
    if str(error).partition("=")[0] in settings.model_options:
      raise UserError(f"model_options: {error}") from error
    raise
  # Options are the user's: a wrong value may raise anything inside a network.
  except Exception as error:
    raise UserError(
      f"model_options={settings.model_options}: no {settings.model} for images"
      f" {list(shape)} is built of these ({str(error).split(chr(10))[0]})"
    ) from error
  return network
