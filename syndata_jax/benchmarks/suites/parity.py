"""Whether every way to train the ensemble gives the same models.

There are reports of wrong values from `lax.map` and `vmap` with large batches
on GPUs (jax#27591, jax#31919). So this suite times nothing: it trains the
models one by one, then in every other way, and compares.
"""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax.benchmarks.harness.record import (
  Agenda,
  Agreement,
  Check,
  NotRun,
)
from syndata_jax.benchmarks.harness.task import engine, guarded, task
from syndata_jax.benchmarks.harness.workload import Workload
from syndata_jax.ensemble import Engine, Layout, Rounds, make_layout, sgd
from syndata_jax.ensemble.stages import place
from syndata_jax.models import lowerings

# A wrong value shows as a difference of the order of 1, rounding stays below;
# batch norm amplifies it from step to step.
TOLERANCE = {"float32": 0.01, "bfloat16": 0.2}
STEPS = 4

_COLOUR = (32, 32, 3)


def cases(accelerator: bool) -> list[tuple[Workload, int, bool]]:
  """Workload, models, and whether every lowering is compared, too."""
  if not accelerator:
    return [
      (Workload("convnet", {"width": 8, "depth": 1}, (8, 8, 3), 32), 4, True)
    ]
  return [
    (Workload("convnet", {"width": 16}, _COLOUR, 256), 32, True),
    (
      Workload("convnet", {"width": 16}, _COLOUR, 256, True, "bfloat16"),
      32,
      True,
    ),
    (Workload("resnet18", {"width": 16}, _COLOUR, 256), 32, False),
  ]


def suite(quick: bool, rounds: int) -> Agenda:
  """The same few steps in every way; neither argument changes them."""
  del quick, rounds
  accelerator = jax.default_backend() != "cpu"
  notes = (
    f"Every way takes {STEPS} steps from the same weights on the same batches;"
    " what a model learnt is the change of its parameters. The difference is"
    " that to the models trained one by one, relative in the Euclidean norm,"
    " of the model that differs most.",
    "float32 products are computed at the highest precision.",
  )
  checks = tuple(partial(check, *case) for case in cases(accelerator))
  return Agenda("Parity", "relative difference", notes, checks)


def check(work: Workload, num_models: int, every_lowering: bool) -> Check:
  """All ways to train one workload against training one by one."""
  first = jax.local_devices()[:1]
  place = partial(make_layout, num_models, devices=first)
  ways = {
    "vmap": (place(chunk=num_models), "auto"),
    "loop over models": (place(chunk=1), "auto"),
    "loop over chunks": (place(chunk=max(1, num_models // 4)), "auto"),
  }
  if len(jax.local_devices()) > 1:
    everywhere = make_layout(num_models, devices=jax.local_devices())
    ways["all devices"] = (everywhere, "auto")
  if every_lowering:
    ways |= {
      f"vmap, {name}": (place(chunk=num_models), name)
      for name in lowerings.NAMES
      if name != "auto"
    }
  exact: Any = contextlib.nullcontext()
  if work.precision == "float32":
    exact = jax.default_matmul_precision("highest")
  with exact:
    expected = one_by_one(work, num_models)
    rows = [
      _agreement(name, partial(learnt, work, layout, lowering), expected)
      for name, (layout, lowering) in ways.items()
    ]
  name = f"{num_models} models: {work.name}"
  return Check(name, work.settings(), tuple(rows), TOLERANCE[work.precision])


def one_by_one(work: Workload, num_models: int) -> np.ndarray:
  """What each model learns alone, without any axis of models: f32[M,P]."""
  steps = _steps(work, engine(work, num_models, jax.local_devices()[:1]))
  init, program = jax.jit(steps.init), jax.jit(steps.program)
  shared = jax.tree.map(jnp.asarray, steps.shared)
  before, after = [], []
  for m in range(num_models):
    own = jax.tree.map(lambda leaf, m=m: leaf[m], steps.own)
    start = init(own, shared)
    trained, _, _ = program(start, own, None, shared)
    before.append(jax.device_get(start.params))
    after.append(jax.device_get(trained.params))
  stack = lambda *leaves: np.stack(leaves)
  return _change(jax.tree.map(stack, *before), jax.tree.map(stack, *after))


def learnt(work: Workload, layout: Layout, lowering: str) -> np.ndarray:
  """The same by the engine: f32[M,P]."""
  tools = engine(work, layout.num_models, layout.devices)
  steps = _steps(
    work, tools._replace(model=work.network(lowering), layout=layout)
  )
  placed = place(layout, steps)
  start = placed.init(None, placed.own, placed.shared)
  before = layout.gather(start.params)  # the run takes its memory
  trained, _, _ = placed.run(start, placed.fed(steps, 1), placed.shared)
  return _change(before, layout.gather(trained.params))


def _steps(work: Workload, tools: Engine) -> Rounds:
  """The steps that every way takes, as one round."""
  data = work.data(tools.layout.num_models, STEPS)
  return task(tools.layout, sgd(tools, data), data).rounds


def _change(before: Any, after: Any) -> np.ndarray:
  """How far all parameters moved, a row for each model."""
  moved = jax.tree.map(
    lambda a, b: np.asarray(a) - np.asarray(b), after, before
  )
  return np.concatenate(
    [leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(moved)], axis=1
  )


def _agreement(
  name: str, compute: Callable[[], np.ndarray], expected: np.ndarray
) -> Agreement:
  try:
    changes = guarded(compute)
  except NotRun as reason:
    return Agreement(name, None, str(reason))
  gap = np.linalg.norm(changes - expected, axis=1)
  return Agreement(name, float((gap / np.linalg.norm(expected, axis=1)).max()))
