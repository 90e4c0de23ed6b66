"""One method of distillation as a timed task: its plan, its data, its job."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax import keys
from syndata_jax.benchmarks import ours
from syndata_jax.benchmarks.record import Job
from syndata_jax.benchmarks.workload import NUM_CLASSES, Workload
from syndata_jax.ensemble.epoch import Pool
from syndata_jax.ensemble.train import model_keys
from syndata_jax.paradigms.distillation import real
from syndata_jax.paradigms.distillation.distil import make_round
from syndata_jax.paradigms.distillation.experts import Pair
from syndata_jax.paradigms.distillation.options import (
  TRAJECTORY_METHODS,
  Options,
)
from syndata_jax.paradigms.distillation.setup import (
  Setup,
  Shadow,
  make_network,
)
from syndata_jax.paradigms.distillation.synthetic import (
  Distilled,
  Synthetic,
  rule,
)
from syndata_jax.paradigms.interface import Private
from syndata_jax.reporting.formats import counted

MODELS = 32
TARGET_EPOCHS = 3  # of an expert, that a segment spans
_PRIVATE = 2  # of each class, in real batches


class Plan(NamedTuple):
  """One method on one network and image size."""

  method: str
  work: Workload  # its batch: private images of a class in an update
  images_per_class: int = 10
  inner_steps: int = 10
  outer_steps: int = 1
  inner_epochs: int = 0
  augmentation: str = Options.augmentation
  models: int = MODELS  # the most that are timed

  @property
  def options(self) -> Options:
    """The paradigm's; images of noise are to stay finite."""
    return Options(
      method=self.method,
      images_per_class=self.images_per_class,
      augmentation=self.augmentation,
      image_learning_rate=1e-3,
      real_batch=self.work.batch_size,
      outer_steps=self.outer_steps,
      inner_epochs=self.inner_epochs,
      distill_model=self.work.model,
      distill_model_options=self.work.options,
      # Those of the config of digits, where experts are trained.
      expert_learning_rate=0.1,
      target_epochs=TARGET_EPOCHS,
      learning_rate_start=0.06,
      inner_steps=self.inner_steps,
    )

  @property
  def name(self) -> str:
    """Such as `DSA, 2 outer steps, 10 inner epochs, convnet ...`."""
    parts = [self.method.upper()]
    if self.method in TRAJECTORY_METHODS:
      parts.append(counted(self.inner_steps, "inner step"))
    elif self.method == "dsa":
      parts.append(counted(self.outer_steps, "outer step"))
      if self.outer_steps > 1:
        parts.append(counted(self.inner_epochs, "inner epoch"))
    return ", ".join([*parts, self.work.name])

  def settings(self) -> dict[str, Any]:
    """What the JSON file says about the task."""
    return self._asdict() | {"work": self.work._asdict()}


def prepare(
  plan: Plan, num_models: int, length: int, devices: Sequence[jax.Device]
) -> Job:
  """M models; a round is `length` iterations of each in one compiled call."""
  setup = make_setup(plan, num_models, devices)
  made = task(setup, plan, length)
  job = ours.job(plan.work, setup.engine, length, made)
  return job._replace(work=num_models * length, flops=0.0)


def make_setup(
  plan: Plan, num_models: int, devices: Sequence[jax.Device]
) -> Setup:
  """The tools that an audit of this method would use."""
  work, options = plan.work, plan.options
  return Setup(
    options,
    make_network(options, work.image_shape, NUM_CLASSES),
    ours.engine(work, num_models, list(devices)),
    NUM_CLASSES,
    work.batch_size,
  )


def private(plan: Plan, num_models: int) -> Private:
  """Random images, as many of each class."""
  draw = keys.generator(0, "benchmarks/distill")
  size = _PRIVATE * plan.work.batch_size * NUM_CLASSES
  images = draw.integers(0, 256, (size, *plan.work.image_shape), np.uint8)
  labels = np.arange(size, dtype=np.int32) % NUM_CLASSES
  members = np.stack([draw.permutation(size) for _ in range(num_models)])
  return Private(images, labels, members.astype(np.int32), NUM_CLASSES)


def task(setup: Setup, plan: Plan, length: int) -> ours.Task:
  """As `ours.task`, with a round of the paradigm as the epoch."""
  num_models = setup.engine.layout.num_models
  own_data = private(plan, num_models)
  rows, counts = real.by_class(own_data)
  own = model_keys(jax.random.key(0), num_models)
  shadow = Shadow(own, jnp.asarray(rows), jnp.asarray(counts), None)
  size = NUM_CLASSES * plan.images_per_class
  draw = keys.generator(1, "benchmarks/distill")
  shape = (num_models, size, *plan.work.image_shape)
  labels = np.repeat(np.arange(NUM_CLASSES), plan.images_per_class)
  begin = Synthetic(
    jnp.asarray(draw.normal(size=shape), jnp.float32),
    jnp.asarray(np.broadcast_to(labels, shape[:2]), jnp.int32),
    jnp.full(num_models, setup.options.learning_rate_start),
  )
  start: Any = Distilled(
    jnp.zeros(num_models, jnp.int32),
    begin,
    jax.vmap(rule(setup.options, soft=False).init)(begin),
  )
  given: Any = shadow, None
  if plan.method in TRAJECTORY_METHODS:
    size = parameters(setup)
    pair = draw.normal(size=(2, num_models, length, size)) * 0.05
    given = shadow, Pair(*jnp.asarray(pair, jnp.float32))
  pool = Pool(jnp.asarray(own_data.images), jnp.asarray(own_data.labels))
  return ours.Task(make_round(setup, length), start, given, pool)


def parameters(setup: Setup) -> int:
  """Of one network."""
  shapes = jax.eval_shape(setup.network.init, jax.random.key(0))
  return sum(leaf.size for leaf in jax.tree.leaves(shapes))
