"""Training M models at once against PyTorch, and how that scales with M."""

from functools import partial
from typing import NamedTuple

import jax

from syndata_jax.benchmarks.harness import task
from syndata_jax.benchmarks.harness.record import (
  Agenda,
  Case,
  Contender,
  measure,
)
from syndata_jax.benchmarks.harness.workload import Workload
from syndata_jax.benchmarks.pytorch import peers, training
from syndata_jax.reporting.formats import counted


class Plan(NamedTuple):
  """A workload and who is timed on it."""

  work: Workload
  models: tuple[int, ...]  # ours: a row for every M
  vmapped: int  # M of `torch.func`, 0 to leave it out
  images: int  # a round's, about, for ours and for the sequential peer


_COLOUR = (32, 32, 3)
_DIGITS = Workload("convnet", {"width": 32}, (8, 8, 1), 32, augment=False)
_FASHION = Workload("convnet", {"width": 32}, (28, 28, 1), 64)
# Narrower than the networks of the audits: what two cores can train.
_RESNET = Workload("resnet18", {"width": 16}, _COLOUR, 64)
_WIDE = Workload("wide_resnet", {"width": 1}, _COLOUR, 32)
_SMALL_GPU = Workload("convnet", {"width": 128}, _COLOUR, 256, True, "bfloat16")
_RESNET_GPU = Workload(
  "resnet18", {"width": 64}, _COLOUR, 256, True, "bfloat16"
)
_WIDE_GPU = Workload(
  "wide_resnet", {"width": 4}, _COLOUR, 256, True, "bfloat16"
)


def plans(quick: bool, accelerator: bool) -> list[Plan]:
  """What is timed where; the main job's network has a point more."""
  few, many = (1, 8, 32), (1, 8, 16, 32)
  if accelerator:
    images = 32 * 256 * 4
    return [
      Plan(_RESNET_GPU, (8,) if quick else many, 8, images),
      Plan(_SMALL_GPU, (8,) if quick else few, 8, 4 * images),
      Plan(_WIDE_GPU, (8,) if quick else few, 8, images),
    ]
  if quick:
    return [
      Plan(_DIGITS, few, 8, 8 * 32 * 32),
      Plan(_RESNET, (8,), 0, 8 * 64),
    ]
  return [
    Plan(_DIGITS, few, 8, 8 * 32 * 64),
    Plan(_FASHION, few, 8, 32 * 64 * 2),
    Plan(_RESNET, many, 8, 32 * 64),
    Plan(_WIDE, few, 8, 32 * 32),
  ]


def suite(quick: bool, rounds: int) -> Agenda:
  """All comparisons that fit this backend."""
  accelerator = jax.default_backend() != "cpu"
  cases = [
    partial(against_pytorch, plan, rounds, accelerator)
    for plan in plans(quick, accelerator)
  ]
  devices = jax.local_devices()
  if len(devices) > 1:
    work = _SMALL_GPU if accelerator else _DIGITS
    cases.append(partial(over_devices, work, 4 * len(devices), devices, rounds))
  notes = (
    "Images a second, of all models together, through whole training steps:"
    " batches drawn from a u8 pool on the device, augmented and normalised"
    " there, SGD with momentum and weight decay. Data are random.",
    "Ours runs one compiled epoch a round. PyTorch is in channels_last, with"
    " fused SGD"
    + (", bfloat16 autocast and torch.compile." if accelerator else "."),
    "`compile` is everything from Python to the program, `with the cache` the"
    " same in a later process. PyTorch compiles in its first round.",
    "Memory of ours is what the compiler laid out for the program on one"
    " device, that of PyTorch its allocator's peak.",
  )
  return Agenda("Shadow ensemble", "images/s", notes, tuple(cases))


def against_pytorch(plan: Plan, rounds: int, accelerator: bool) -> Case:
  """Ours at every M, PyTorch sequential and vmapped, in turns.

  On an accelerator PyTorch is compiled, and both have one device.
  """
  work, devices = plan.work, jax.local_devices()[: 1 if accelerator else None]
  contenders = [
    Contender(
      f"syndata_jax, M = {m}",
      False,
      partial(task.undefended, work, m, _steps(plan, m), devices),
      m,
    )
    for m in plan.models
  ]
  modes: dict[str, str | None] = {"PyTorch, sequential": None}
  if accelerator:
    modes = {
      "PyTorch, sequential, compiled": "default",
      "PyTorch, sequential, CUDA graphs": "reduce-overhead",
    }
  # Sequential training is as fast for any number of models.
  most = max(plan.models)
  for name, mode in modes.items():
    torch = partial(training.sequential, work, most, _steps(plan, most), mode)
    contenders += peers.contenders(name, torch, not accelerator)
  if plan.vmapped:
    mode = "default" if accelerator else None
    m, steps = plan.vmapped, _steps(plan, plan.vmapped)
    torch = partial(training.vmapped, work, m, steps, mode)
    contenders.append(Contender(f"PyTorch, torch.func, M = {m}", True, torch))
  return measure(work.name, work.settings(), contenders, rounds, "models")


def over_devices(
  work: Workload, num_models: int, devices: list[jax.Device], rounds: int
) -> Case:
  """The same models on the first 1, 2, 4, ... of the devices.

  Args:
    work: what they learn.
    num_models: M.
    devices: all of them.
    rounds: timed rounds of each contender.
  """
  counts = [2**i for i in range(len(devices).bit_length())]
  contenders = [
    Contender(
      f"syndata_jax, {counted(count, 'device')}",
      False,
      partial(task.undefended, work, num_models, 8, devices[:count]),
      count,
    )
    for count in counts
  ]
  name = f"{num_models} models over devices: {work.name}"
  return measure(name, work.settings(), contenders, rounds, "devices")


def _steps(plan: Plan, num_models: int) -> int:
  return max(1, plan.images // (num_models * plan.work.batch_size))
