"""Diffusion: samples and training of one model and of many, and PyTorch."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax import keys
from syndata_jax.benchmarks.harness import task
from syndata_jax.benchmarks.harness.peak import peak
from syndata_jax.benchmarks.harness.record import (
  Agenda,
  Case,
  Contender,
  Job,
  Row,
  measure,
)
from syndata_jax.benchmarks.harness.workload import NUM_CLASSES
from syndata_jax.benchmarks.pytorch import diffusion as peer
from syndata_jax.benchmarks.pytorch import peers
from syndata_jax.data.training_set import Private, TrainingSet
from syndata_jax.diffusion import lora
from syndata_jax.diffusion.model import init, learner, make_network
from syndata_jax.ensemble import Rounds, make_layout
from syndata_jax.models.unet import UNet
from syndata_jax.paradigms.diffusion import sampling
from syndata_jax.paradigms.diffusion.options import Options
from syndata_jax.reporting.formats import memory, significant

MODELS = 32


class Plan(NamedTuple):
  """One network on one image size; the data are random."""

  image_shape: tuple[int, int, int]
  options: Options  # its batches are those of training and of sampling
  steps: int = 2  # of training, in a round
  models: int = MODELS  # the most that are timed

  @property
  def name(self) -> str:
    """Such as `U-Net width 32 (1, 2), 8x8x1`."""
    pixels = "x".join(map(str, self.image_shape))
    options = self.options
    return f"U-Net width {options.width} {options.multipliers}, {pixels}"

  def settings(self) -> dict[str, Any]:
    """What the JSON file says about the task."""
    options = dataclasses.asdict(self.options)
    return self._asdict() | {"options": options}

  def module(self, lowering: str = "auto") -> UNet:
    """The network."""
    return make_network(
      self.options, self.image_shape, NUM_CLASSES, lowering=lowering
    )


def _plan(
  image_shape: tuple[int, int, int],
  batch: int,
  models: int = MODELS,
  **network: Any,
) -> Plan:
  options = Options(
    diffusion_epochs=1,
    diffusion_batch=batch,
    sampling_batch=batch,
    label_drop=0.1,
    **network,
  )
  return Plan(image_shape, options, models=models)


def plans(quick: bool, accelerator: bool) -> list[Plan]:
  """What is timed where."""
  if accelerator:
    wide = partial(_plan, width=64, multipliers=(1, 2, 2), blocks=2)
    return [_plan((28, 28, 1), 256), wide((32, 32, 3), 256)]
  digits = _plan((8, 8, 1), 64)
  if quick:
    return [digits]
  fashion = _plan((28, 28, 1), 16, 8, multipliers=(1, 2, 2))
  return [digits, fashion]


def suite(quick: bool, rounds: int) -> Agenda:
  """Sampling, training, then the memory of adapters."""
  accelerator = jax.default_backend() != "cpu"
  cases: list[Callable[[], Case]] = []
  for plan in plans(quick, accelerator):
    cases += [
      partial(of_sampling, plan, rounds),
      partial(of_training, plan, rounds),
      partial(of_adapters, plan, rounds),
    ]
  notes = (
    "Images a second, of all models together. A sample takes 18 steps of Heun's"
    " sampler, 35 calls of the network; training is EDM's loss with Adam and an"
    " average of the weights. Pixels are random.",
    "PyTorch has one model; several would follow one another at the same rate."
    " It computes in channels_last, samples in inference mode, and is timed"
    " eager and through torch.compile.",
    "Memory is what the compiler laid out for the program on one device.",
  )
  return Agenda("Diffusion", "images/s", notes, tuple(cases))


def of_sampling(plan: Plan, rounds: int) -> Case:
  """Samples of one model, of many, and of PyTorch."""
  prepare = partial(
    peer.sampling,
    plan.options,
    plan.image_shape,
    NUM_CLASSES,
    plan.options.sampling_batch,
    plan.options.sampling_steps,
  )
  return _against_pytorch("sampling", plan, prepare_sampling, prepare, rounds)


def of_training(plan: Plan, rounds: int) -> Case:
  """Training steps of one model, of many, and of PyTorch."""
  prepare = partial(
    peer.training, plan.options, plan.image_shape, NUM_CLASSES, plan.steps
  )
  return _against_pytorch("training", plan, prepare_training, prepare, rounds)


def _against_pytorch(
  kind: str,
  plan: Plan,
  ours: Callable[[Plan, int, Sequence[jax.Device]], Job],
  theirs: Callable[[str | None], Job],
  rounds: int,
) -> Case:
  """One model, many, and PyTorch in every form.

  Args:
    kind: of the work, for the name.
    plan: the network.
    ours: prepares M models.
    theirs: prepares one, given the mode of `torch.compile`.
    rounds: timed rounds of each contender.
  """
  accelerator = jax.default_backend() != "cpu"
  devices = jax.local_devices()[: 1 if accelerator else None]
  contenders = [
    Contender(
      f"syndata_jax, M = {m}", False, partial(ours, plan, m, devices), m
    )
    for m in (1, plan.models)
  ]
  for name, mode in (("eager", None), ("compiled", "default")):
    contenders += peers.contenders(
      f"PyTorch, {name}", partial(theirs, mode), not accelerator
    )
  name = f"{kind}: {plan.name}"
  case = measure(name, plan.settings(), contenders, rounds, "models")
  one, many = (_seconds(row) for row in case.rows[:2])
  if not one or not many:
    return case
  ratios = [case.ratio(row) for row in case.rows[:2]]
  results = {"cost_of_many": many / one, "ratios": ratios}
  summary = f"{name}; {plan.models} models cost {many / one:.1f} times one"
  return case._replace(name=summary, settings=case.settings | results)


def _seconds(row: Row) -> float | None:
  """Of as many images of each model."""
  return row.scale / row.rate if row.rate and row.scale else None


def of_adapters(plan: Plan, rounds: int) -> Case:
  """Training in all weights against adapters beside one base, by memory."""
  devices = jax.local_devices()[:1]
  contenders = [
    Contender(
      f"{name}, M = {m}",
      False,
      partial(prepare_training, plan, m, devices, rank),
      m,
    )
    for name, rank in (("all weights", 0), ("LoRA", plan.options.rank))
    for m in (1, plan.models)
  ]
  name = f"memory of {plan.models} fine-tunes: {plan.name}"
  case = measure(name, plan.settings(), contenders, rounds, "models")
  sizes = [row.peak_bytes for row in case.rows]
  full, adapted = sizes[1], sizes[3]
  weights = 4 * num_parameters(plan)
  results = {"bytes": sizes, "bytes_of_parameters": weights}
  if full and adapted:
    name += (
      f"; all weights {memory(full)}, LoRA of rank {plan.options.rank}"
      f" {memory(adapted)}, {significant(full / adapted)} times less;"
      f" one base {memory(weights)}"
    )
  return case._replace(name=name, settings=case.settings | results)


def prepare_sampling(
  plan: Plan, num_models: int, devices: Sequence[jax.Device]
) -> Job:
  """The sampling stage of the paradigm: a round is a batch of each model.

  Args:
    plan: the network.
    num_models: M.
    devices: over which the models are split.
  """
  private = _private(plan, num_models)
  module, batch = plan.module(), plan.options.sampling_batch
  root = keys.model_keys(jax.random.key(0), num_models)
  params = jax.vmap(lambda key: init(key, module, plan.image_shape))(root)
  rounds = sampling.rounds(
    plan.options,
    module,
    jax.random.key(1),
    private,
    private.members[:, :batch],
    jax.device_get(params),
  )
  calls = 2 * plan.options.sampling_steps - 1
  return _job(plan, rounds, num_models, num_models * batch, devices, calls)


def prepare_training(
  plan: Plan,
  num_models: int,
  devices: Sequence[jax.Device],
  rank: int = 0,
) -> Job:
  """The training stage of the paradigm: a round is a short epoch.

  Args:
    plan: the network.
    num_models: M.
    devices: over which the models are split.
    rank: of adapters beside a shared base; 0 for all weights.
  """
  private = _private(plan, num_models)
  module, base = plan.module(), None
  if rank:
    base = jax.device_get(init(jax.random.key(2), module, plan.image_shape))
  data = TrainingSet(private.images, private.labels, private.members)
  learns = learner(module, plan.options, data, base=base, rank=rank)
  layout = make_layout(num_models, devices=list(devices))
  _, rounds = task.task(layout, learns, data)
  units = num_models * private.members.shape[1]
  return _job(plan, rounds, num_models, units, devices, 3)


def _job(
  plan: Plan,
  rounds: Rounds,
  num_models: int,
  units: int,
  devices: Sequence[jax.Device],
  calls: int,
) -> Job:
  """The rounds as a job, with the operations that a unit takes.

  Args:
    plan: the network.
    rounds: of M models.
    num_models: M.
    units: images of a round.
    devices: over which the models are split.
    calls: of the network for an image, or what takes as many operations.
  """
  layout = make_layout(num_models, devices=list(devices))
  job = task.job(task.Task(layout, rounds), units)
  best = peak(layout.devices, jnp.dtype("float32"))
  return job._replace(flops=calls * flops(plan), peak_flops=best)


def flops(plan: Plan) -> float:
  """Operations of the network for one image, as `ensemble.flops` counts."""
  module = plan.module("im2col")
  one = (
    jax.ShapeDtypeStruct((1, *plan.image_shape), jnp.float32),
    jax.ShapeDtypeStruct((1,), jnp.float32),
    jax.ShapeDtypeStruct((1,), jnp.int32),
  )
  variables = jax.eval_shape(module.init, jax.random.key(0), *one)
  cost = jax.jit(module.apply).lower(variables, *one).cost_analysis() or {}
  return float(cost["flops"])


def num_parameters(plan: Plan, rank: int = 0) -> int:
  """Of one network, or of its adapters."""

  def trained() -> Any:
    base = init(jax.random.key(0), plan.module(), plan.image_shape)
    return lora.init(jax.random.key(0), base, rank) if rank else base

  shapes = jax.eval_shape(trained)
  return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def _private(plan: Plan, num_models: int) -> Private:
  """Random images, as many of each model as a round of training reads."""
  draw = keys.generator(0, "benchmarks/diffusion")
  size = plan.steps * plan.options.diffusion_batch
  images = draw.integers(0, 256, (size, *plan.image_shape), np.uint8)
  labels = np.arange(size, dtype=np.int32) % NUM_CLASSES
  members = np.stack([draw.permutation(size) for _ in range(num_models)])
  return Private(images, labels, members.astype(np.int32), NUM_CLASSES)
