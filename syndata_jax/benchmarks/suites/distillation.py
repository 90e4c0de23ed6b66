"""Iterations of data-set distillation: one shadow, 32 at once, and PyTorch."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from syndata_jax import keys
from syndata_jax.benchmarks.harness import task
from syndata_jax.benchmarks.harness.record import (
  Agenda,
  Case,
  Contender,
  Job,
  Row,
  measure,
)
from syndata_jax.benchmarks.harness.workload import NUM_CLASSES, Workload
from syndata_jax.benchmarks.pytorch import distillation as peer
from syndata_jax.benchmarks.pytorch import peers
from syndata_jax.data.training_set import Private
from syndata_jax.ensemble import Pool, Rounds
from syndata_jax.paradigms.distillation import methods, private_batches
from syndata_jax.paradigms.distillation.distil import make_init, make_round
from syndata_jax.paradigms.distillation.options import Options
from syndata_jax.paradigms.distillation.segments import Segment
from syndata_jax.paradigms.distillation.setup import (
  Setup,
  Shadow,
  make_network,
)
from syndata_jax.paradigms.distillation.synthetic import Synthetic
from syndata_jax.reporting.formats import counted, memory, significant

MODELS = 32
_PRIVATE_BATCHES = 2  # a class has so many times the images of an update

_NETWORK = {"width": 32, "depth": 2}
_DIGITS = Workload("convnet", _NETWORK, (8, 8, 1), 64, augment=False)
_FASHION = Workload("convnet", {"width": 32}, (28, 28, 1), 64, augment=False)
_WIDE = Workload("convnet", {"width": 128}, (8, 8, 1), 64, augment=False)
_GPU = (
  Workload("convnet", {"width": 128}, (32, 32, 3), 256, augment=False),
  Workload("convnet", {"width": 128}, (28, 28, 1), 256, augment=False),
)


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
      target_epochs=3,
      learning_rate_start=0.06,
      inner_steps=self.inner_steps,
    )

  @property
  def name(self) -> str:
    """Such as `DSA, 2 outer steps, 10 inner epochs, convnet ...`."""
    parts = [self.method.upper()]
    if methods.find(self.method).follows_experts:
      parts.append(counted(self.inner_steps, "inner step"))
    elif self.method == "dsa":
      parts.append(counted(self.outer_steps, "outer step"))
      if self.outer_steps > 1:
        parts.append(counted(self.inner_epochs, "inner epoch"))
    return ", ".join([*parts, self.work.name])

  def settings(self) -> dict[str, Any]:
    """What the JSON file says about the task."""
    return self._asdict() | {"work": self.work._asdict()}


def plans(quick: bool, accelerator: bool) -> list[Plan]:
  """What is timed where."""
  first, second = _GPU if accelerator else (_DIGITS, _FASHION)
  if quick:
    return [Plan("dm", first), Plan("mtt", first)]
  fewer = MODELS if accelerator else 8  # time
  return [
    Plan("dm", first),
    Plan("dsa", first),
    Plan("dsa", first, outer_steps=2, inner_epochs=10),
    Plan("mtt", first),
    Plan("tesla", first),
    Plan("dm", second, models=fewer),
    Plan("mtt", second, models=fewer),
    Plan("tesla", second, models=fewer),
  ]


def suite(quick: bool, rounds: int) -> Agenda:
  """Speed, then memory against inner steps."""
  accelerator = jax.default_backend() != "cpu"
  cases = [
    partial(against_pytorch, plan, rounds) for plan in plans(quick, accelerator)
  ]
  steps = (10, 100)
  cases.append(partial(over_steps, Plan("mtt", _WIDE, 1), steps, rounds))
  notes = (
    "Iterations a second, of all shadows together: one update of 10 images a"
    " class, ten classes, under the siamese augmentation. Images are random,"
    " and so are the parameters that a trajectory begins and ends with.",
    "PyTorch distils for one shadow; several would follow one another at the"
    " same rate. It is eager: no compiler of its has second derivatives.",
    "Memory is what the compiler laid out for the program on one device.",
  )
  return Agenda("Distillation", "iterations/s", notes, tuple(cases))


def against_pytorch(plan: Plan, rounds: int) -> Case:
  """One shadow, many, and PyTorch with all threads and with one."""
  accelerator = jax.default_backend() != "cpu"
  devices = jax.local_devices()[: 1 if accelerator else None]
  # About as long rounds, whatever M is.
  length = {1: 4, plan.models: 1}
  contenders = [
    Contender(
      f"syndata_jax, M = {m}",
      False,
      partial(prepare, plan, m, n, devices),
      m,
    )
    for m, n in length.items()
  ]
  torch = partial(
    peer.prepare, plan.work, plan.options, private(plan, 1), length[1]
  )
  name = "PyTorch, one after another"
  contenders += peers.contenders(name, torch, not accelerator)
  case = measure(plan.name, plan.settings(), contenders, rounds, "models")
  one, many = (_seconds(row) for row in case.rows[:2])
  if not one or not many:
    return case
  results = {"seconds": {1: one, plan.models: many}, "ratio": many / one}
  summary = (
    f"{case.name}: {significant(one)} s an iteration, {significant(many)} s of"
    f" {plan.models} shadows, {many / one:.1f} times"
  )
  return case._replace(name=summary, settings=case.settings | results)


def _seconds(row: Row) -> float | None:
  """Of one iteration of all its models."""
  return row.scale / row.rate if row.rate and row.scale else None


def over_steps(plan: Plan, steps: tuple[int, ...], rounds: int) -> Case:
  """Memory of both gradients for growing numbers of inner steps.

  The exact one keeps the parameters of every step, TESLA nothing. Without
  augmentation, which is none of the difference.
  """
  plan = plan._replace(augmentation="")
  variants = {
    (method, n): plan._replace(method=method, inner_steps=n)
    for method in ("mtt", "tesla")
    for n in steps
  }
  contenders = [
    Contender(
      f"{'exact' if method == 'mtt' else 'TESLA'}, {n} inner steps",
      False,
      partial(prepare_memory, variant),
    )
    for (method, n), variant in variants.items()
  ]
  name = f"memory over inner steps: {plan.work.name}"
  case = measure(name, plan.settings(), contenders, rounds)
  sizes = {
    key: row.peak_bytes or 0.0
    for key, row in zip(variants, case.rows, strict=True)
  }
  least, most = min(steps), max(steps)
  growth = {
    method: (sizes[method, most] - sizes[method, least]) / (most - least)
    for method in ("mtt", "tesla")
  }
  size = 4 * num_parameters(make_setup(plan, 1, jax.local_devices()[:1]))
  results = {
    "bytes": {f"{method} {n}": value for (method, n), value in sizes.items()},
    "bytes_per_step": growth,
    "bytes_of_parameters": size,
  }
  summary = (
    f"{name}: a step adds {memory(growth['mtt'])} to the exact gradient,"
    f" {memory(growth['tesla'])} to TESLA's; the parameters are {memory(size)}"
  )
  return case._replace(name=summary, settings=case.settings | results)


def prepare_memory(plan: Plan) -> Job:
  """One shadow's iteration; its memory is without the experts' parameters."""
  devices = jax.local_devices()[:1]
  job = prepare(plan, 1, 1, devices)
  pair = 2 * 4 * num_parameters(make_setup(plan, 1, devices))

  def bytes_without() -> float | None:
    total = job.peak_bytes()
    return None if total is None else total - pair

  return job._replace(peak_bytes=bytes_without)


def prepare(
  plan: Plan, num_models: int, length: int, devices: Sequence[jax.Device]
) -> Job:
  """Iterations of M models in one compiled call.

  Args:
    plan: what is distilled, and how.
    num_models: M.
    length: iterations of each model in a round.
    devices: over which the models are split.
  """
  setup = make_setup(plan, num_models, devices)
  return task.job(make_task(setup, plan, length), num_models * length)


def make_setup(
  plan: Plan, num_models: int, devices: Sequence[jax.Device]
) -> Setup:
  """The tools that an audit of this method would use."""
  work, options = plan.work, plan.options
  return Setup(
    options,
    make_network(options, work.image_shape, NUM_CLASSES),
    task.engine(work, num_models, devices),
    NUM_CLASSES,
    work.batch_size,
  )


def private(plan: Plan, num_models: int) -> Private:
  """Random images, as many of each class."""
  draw = keys.generator(0, "benchmarks/distill")
  size = _PRIVATE_BATCHES * plan.work.batch_size * NUM_CLASSES
  images = draw.integers(0, 256, (size, *plan.work.image_shape), np.uint8)
  labels = np.arange(size, dtype=np.int32) % NUM_CLASSES
  members = np.stack([draw.permutation(size) for _ in range(num_models)])
  return Private(images, labels, members.astype(np.int32), NUM_CLASSES)


def make_task(setup: Setup, plan: Plan, length: int) -> task.Task:
  """A round of the paradigm: `length` iterations of each model."""
  layout = setup.engine.layout
  num_models, data = layout.num_models, private(plan, layout.num_models)
  root = keys.model_keys(jax.random.key(0), num_models)
  draw = keys.generator(1, "benchmarks/distill")
  begin = noise(plan, num_models, draw)
  segments = None
  if methods.find(plan.method).follows_experts:
    shape = (2, num_models, length, num_parameters(setup))
    segments = Segment(*(draw.normal(size=shape) * 0.05).astype(np.float32))
  rows, counts = private_batches.by_class(data, setup.real_batch)
  rounds = Rounds(
    number=1,
    init=make_init(setup),
    program=make_round(setup, length),
    own=Shadow(root, rows, counts, None, begin),
    shared=Pool(data.images, data.labels),
    feed=lambda number: segments,
  )
  return task.Task(layout, rounds)


def noise(plan: Plan, num_models: int, draw: np.random.Generator) -> Synthetic:
  """Sets of noise to begin with, leaves [M,...]."""
  labels = np.repeat(np.arange(NUM_CLASSES), plan.images_per_class)
  shape = (num_models, len(labels), *plan.work.image_shape)
  return Synthetic(
    draw.normal(size=shape).astype(np.float32),
    np.broadcast_to(labels, shape[:2]).astype(np.int32),
    np.full(num_models, plan.options.learning_rate_start, np.float32),
  )


def num_parameters(setup: Setup) -> int:
  """Of one network."""
  shapes = jax.eval_shape(setup.network.init, jax.random.key(0))
  return sum(leaf.size for leaf in jax.tree.leaves(shapes))
