"""Iterations of data-set distillation: one shadow, 32 at once, and PyTorch."""

from functools import partial

import jax

from syndata_jax.benchmarks import peers, torch_distillation
from syndata_jax.benchmarks.distill_angle import against_exact
from syndata_jax.benchmarks.distill_task import (
  MODELS,
  Plan,
  make_setup,
  parameters,
  prepare,
  private,
)
from syndata_jax.benchmarks.markdown import number
from syndata_jax.benchmarks.record import (
  Agenda,
  Case,
  Contender,
  Job,
  Row,
  measure,
)
from syndata_jax.benchmarks.workload import Workload

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
