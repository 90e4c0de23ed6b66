"""Iterations of data-set distillation: one shadow, 32 at once, and PyTorch."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax import data, keys
from syndata_jax.benchmarks import ours, peers, torch_distillation
from syndata_jax.benchmarks.markdown import number
from syndata_jax.benchmarks.record import (
  Agenda,
  Case,
  Contender,
  Job,
  Row,
  measure,
)
from syndata_jax.benchmarks.workload import NUM_CLASSES, Workload
from syndata_jax.ensemble.epoch import Own, Pool
from syndata_jax.ensemble.train import model_keys
from syndata_jax.paradigms.distillation import experts, real
from syndata_jax.paradigms.distillation.distil import make_round
from syndata_jax.paradigms.distillation.experts import Pair
from syndata_jax.paradigms.distillation.mtt import exact_gradient
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
from syndata_jax.paradigms.distillation.tesla import tesla_gradient
from syndata_jax.paradigms.distillation.trajectory import Augment
from syndata_jax.paradigms.interface import Private
from syndata_jax.reporting.formats import counted

_PRIVATE = 2  # of each class, in real batches
_MODELS = 32
_EPOCHS = 3  # of an expert before the segment that is matched, and of that


class Plan(NamedTuple):
  """One method on one network and image size."""

  method: str
  work: Workload  # its batch: private images of a class in an update
  images_per_class: int = 10
  inner_steps: int = 10
  outer_steps: int = 1
  inner_epochs: int = 0
  augmentation: str = Options.augmentation
  models: int = _MODELS  # the most that are timed

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
      target_epochs=_EPOCHS,
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


_NETWORK = {"width": 32, "depth": 2}
_DIGITS = Workload("convnet", _NETWORK, (8, 8, 1), 64, augment=False)
_FASHION = Workload("convnet", {"width": 32}, (28, 28, 1), 64, augment=False)
_WIDE = Workload("convnet", {"width": 128}, (8, 8, 1), 64, augment=False)
_GPU = (
  Workload("convnet", {"width": 128}, (32, 32, 3), 256, augment=False),
  Workload("convnet", {"width": 128}, (28, 28, 1), 256, augment=False),
)


def plans(quick: bool, accelerator: bool) -> list[Plan]:
  """What is timed where."""
  first, second = _GPU if accelerator else (_DIGITS, _FASHION)
  if quick:
    return [Plan("dm", first), Plan("mtt", first)]
  fewer = _MODELS if accelerator else 8  # time
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
  """Speed, memory against inner steps, and how far TESLA's gradient is off."""
  accelerator = jax.default_backend() != "cpu"
  cases = [
    partial(against_pytorch, plan, rounds) for plan in plans(quick, accelerator)
  ]
  steps = (10, 100)
  cases.append(partial(over_steps, Plan("mtt", _WIDE, 1), steps, rounds))
  angles = (10,) if quick else (10, 30, 100)
  cases += [
    partial(against_exact, Plan("mtt", _DIGITS, inner_steps=n), rounds)
    for n in angles
  ]
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
    torch_distillation.prepare,
    plan.work,
    plan.options,
    private(plan, 1),
    length[1],
  )
  contenders.append(Contender("PyTorch, one after another", True, torch))
  if not accelerator:
    alone = partial(peers.on_one_thread, torch)
    name = "PyTorch, one after another, one thread"
    contenders.append(Contender(name, True, alone))
  case = measure(plan.name, plan.settings(), contenders, rounds, "models")
  one, many = (_seconds(row) for row in case.rows[:2])
  if not one or not many:
    return case
  found = {"seconds": {1: one, plan.models: many}, "ratio": many / one}
  said = (
    f"{case.name}: {number(one)} s an iteration, {number(many)} s of"
    f" {plan.models} shadows, {many / one:.1f} times"
  )
  return case._replace(name=said, settings=case.settings | found)


def _seconds(row: Row) -> float | None:
  """Of one iteration of all its models."""
  return row.scale / row.rate if row.rate and row.scale else None


def over_steps(plan: Plan, steps: tuple[int, ...], rounds: int) -> Case:
  """Memory of both gradients for growing numbers of inner steps.

  The exact one keeps the parameters of every step, TESLA nothing. Without
  augmentation, which is none of the difference.
  """
  plan = plan._replace(augmentation="")
  taken = {
    (method, n): plan._replace(method=method, inner_steps=n)
    for method in ("mtt", "tesla")
    for n in steps
  }
  contenders = [
    Contender(
      f"{'exact' if method == 'mtt' else 'TESLA'}, {n} inner steps",
      False,
      partial(prepare_memory, one),
    )
    for (method, n), one in taken.items()
  ]
  name = f"memory over inner steps: {plan.work.name}"
  case = measure(name, plan.settings(), contenders, rounds)
  bytes_of = {
    key: row.peak_bytes or 0.0
    for key, row in zip(taken, case.rows, strict=True)
  }
  least, most = min(steps), max(steps)
  growth = {
    method: (bytes_of[method, most] - bytes_of[method, least]) / (most - least)
    for method in ("mtt", "tesla")
  }
  setup = make_setup(plan, 1, jax.local_devices()[:1])
  found = {
    "bytes": {f"{m} {n}": b for (m, n), b in bytes_of.items()},
    "bytes_per_step": growth,
    "bytes_of_parameters": 4 * parameters(setup),
  }
  said = (
    f"{name}: a step adds {growth['mtt'] / 1e6:.2f} MB to the exact gradient,"
    f" {growth['tesla'] / 1e6:.2f} MB to TESLA's; the parameters are"
    f" {4e-6 * parameters(setup):.2f} MB"
  )
  return case._replace(name=said, settings=case.settings | found)


def prepare_memory(plan: Plan) -> Job:
  """One shadow's iteration; its memory is without the experts' parameters."""
  devices = jax.local_devices()[:1]
  job = prepare(plan, 1, 1, devices)
  pair = 2 * 4 * parameters(make_setup(plan, 1, devices))

  def bytes_without() -> float | None:
    found = job.peak_bytes()
    return None if found is None else found - pair

  return job._replace(peak_bytes=bytes_without)


def against_exact(plan: Plan, rounds: int) -> Case:
  """The angle between TESLA's and the exact gradient on real experts."""
  setup = make_setup(plan, 1, jax.local_devices()[:1])
  given = expert_segment(setup, plan)
  unravel = setup.unravel()
  apply_fn = lambda flat, x: setup.network.logits(unravel(flat), x)
  ways = {
    name: jax.jit(partial(gradient, apply_fn, augment=_views(setup)))
    for name, gradient in (("exact", exact_gradient), ("TESLA", tesla_gradient))
  }
  found = [way(*given)[1].images.ravel() for way in ways.values()]
  degrees = angle(*map(np.asarray, found))

  def job(way) -> Job:
    return Job(lambda: jax.block_until_ready(way(*given)), 1)

  contenders = [
    Contender(f"{name} gradient", False, partial(job, way))
    for name, way in ways.items()
  ]
  name = (
    f"digits, {counted(plan.inner_steps, 'inner step')}: TESLA's gradient by"
    f" the images is {degrees:.1f} degrees off the exact one"
  )
  settings = plan.settings() | {"degrees": degrees}
  return measure(name, settings, contenders, rounds)


def angle(a: np.ndarray, b: np.ndarray) -> float:
  """Between two vectors, in degrees."""
  a, b = a.astype(np.float64), b.astype(np.float64)
  a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
  # Exact for small angles, where the arc cosine is not.
  return float(
    np.degrees(2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b)))
  )


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


def expert_segment(setup: Setup, plan: Plan) -> tuple[Any, ...]:
  """Arguments of both gradients, from one expert of the digits.

  Returns:
    (start f32[P], target f32[P], synthetic, batches i32[T,S]): the expert
    after `_EPOCHS` epochs and after as many more, and images that are digits.
  """
  digits = data.load("digits")
  images, labels = digits.train_images, digits.train_labels
  everyone = Private(images, labels, np.arange(len(labels))[None], NUM_CLASSES)
  learner = experts.sgd(setup, everyone, None)
  key = jax.random.key(0)
  own = Own(key, jnp.arange(len(labels)), number=jnp.zeros((), jnp.int32))
  pool = Pool(jnp.asarray(images), jnp.asarray(labels))
  epoch, state, flat = jax.jit(learner.epoch), learner.init(key), []
  for _ in range(2 * _EPOCHS):
    state, _ = epoch(state, own, pool)
    flat.append(state.params)
  classes = np.repeat(np.arange(NUM_CLASSES), plan.images_per_class)
  rows = np.concatenate(
    [
      np.flatnonzero(labels == k)[: plan.images_per_class]
      for k in range(NUM_CLASSES)
    ]
  )
  synthetic = Synthetic(
    setup.read(jnp.asarray(images[rows]), None),
    jnp.asarray(classes, jnp.int32),
    jnp.asarray(setup.options.learning_rate_start),
  )
  batches = jnp.broadcast_to(
    jnp.arange(len(rows)), (plan.inner_steps, len(rows))
  )
  return flat[_EPOCHS - 1], flat[-1], synthetic, batches


def _views(setup: Setup) -> Augment:
  """The augmentation of every inner step."""
  key = jax.random.key(1)
  return lambda number, images: setup.vary(
    jax.random.fold_in(key, number), images
  )
