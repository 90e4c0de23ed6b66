"""Training M models at once against PyTorch, and how that scales with M."""

from functools import partial
from typing import NamedTuple

import jax

from syndata_jax.benchmarks import ours, peers
from syndata_jax.benchmarks.record import Agenda, Case, Contender, measure
from syndata_jax.benchmarks.workload import Workload
from syndata_jax.reporting.formats import counted


class Plan(NamedTuple):
  """A workload and who is timed on it."""

  work: Workload
  models: tuple[int, ...]  # ours: a row for every M
  vmapped: int  # M of `torch.func`, 0 to leave it out
  images: int  # a round's, about, for ours and for the sequential peer


_DIGITS = Workload("convnet", {"width": 32}, (8, 8, 1), 32, augment=False)
_FASHION = Workload("convnet", {"width": 32}, (28, 28, 1), 64)
_RESNET = Workload("resnet18", {"width": 16}, (32, 32, 3), 64)
_COLOUR = (32, 32, 3)
_SMALL_GPU = Workload("convnet", {"width": 128}, _COLOUR, 256, True, "bfloat16")
_LARGE_GPU = [
  Workload("resnet18", {"width": 64}, _COLOUR, 256, True, "bfloat16"),
  Workload("wide_resnet", {"width": 4}, _COLOUR, 256, True, "bfloat16"),
]


def plans(quick: bool, accelerator: bool) -> list[Plan]:
  """What is timed where."""
  if accelerator:
    counts = (8,) if quick else (1, 8, 32)
    return [
      Plan(_SMALL_GPU, counts, 8, 32 * 256 * 16),
      *(Plan(work, counts, 8, 32 * 256 * 4) for work in _LARGE_GPU),
    ]
  if quick:
    return [
      Plan(_DIGITS, (1, 8, 32), 8, 8 * 32 * 32),
      Plan(_RESNET, (8,), 0, 8 * 64),
    ]
  return [
    Plan(_DIGITS, (1, 8, 32), 8, 8 * 32 * 64),
    Plan(_FASHION, (1, 8, 32), 8, 32 * 64 * 2),
    Plan(_RESNET, (1, 8), 8, 8 * 64 * 2),
  ]


def suite(quick: bool, rounds: int) -> Agenda:
  """All comparisons that fit this backend."""
  accelerator = jax.default_backend() != "cpu"
  cases = [
    partial(against_pytorch, plan, rounds) for plan in plans(quick, accelerator)
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
    "The first round includes compilation. Memory of ours is what the"
    " compiler laid out for the program, that of PyTorch its allocator's peak.",
  )
  return Agenda("Shadow ensemble", "images/s", notes, tuple(cases))


def against_pytorch(plan: Plan, rounds: int) -> Case:
  """Ours at every M, PyTorch sequential and vmapped, in turns."""
  # PyTorch has all cores of a CPU, and one of several accelerators.
  eager = jax.default_backend() == "cpu"
  work, devices = plan.work, jax.local_devices()[: None if eager else 1]
  contenders = [
    Contender(
      f"syndata_jax, M = {m}",
      False,
      partial(ours.prepare, work, m, _steps(plan, m), devices),
    )
    for m in plan.models
  ]
  # Sequential training is as fast for any number of models.
  modes: dict[str, str | None] = {"PyTorch, sequential": None}
  if not eager:
    modes = {
      "PyTorch, sequential, compiled": "default",
      "PyTorch, sequential, CUDA graphs": "reduce-overhead",
    }
  most = max(plan.models)
  contenders += [
    Contender(
      name,
      True,
      partial(peers.sequential, work, most, _steps(plan, most), mode),
    )
    for name, mode in modes.items()
  ]
  if eager:
    alone = partial(peers.sequential, work, most, _steps(plan, most), None)
    contenders.append(
      Contender(
        "PyTorch, sequential, one thread",
        True,
        partial(peers.on_one_thread, alone),
      )
    )
  if plan.vmapped:
    contenders.append(
      Contender(
        f"PyTorch, torch.func, M = {plan.vmapped}",
        True,
        partial(
          peers.vmapped,
          work,
          plan.vmapped,
          _steps(plan, plan.vmapped),
          None if eager else "default",
        ),
      )
    )
  return measure(work.name, work.settings(), contenders, rounds)


def over_devices(
  work: Workload, num_models: int, devices: list[jax.Device], rounds: int
) -> Case:
  """The same models on the first 1, 2, 4, ... of the devices."""
  counts = [2**i for i in range(len(devices).bit_length())]
  contenders = [
    Contender(
      f"syndata_jax, {counted(count, 'device')}",
      False,
      partial(ours.prepare, work, num_models, 8, devices[:count]),
    )
    for count in counts
  ]
  name = f"{num_models} models over devices: {work.name}"
  return measure(name, work.settings(), contenders, rounds)


def _steps(plan: Plan, num_models: int) -> int:
  return max(1, plan.images // (num_models * plan.work.batch_size))
