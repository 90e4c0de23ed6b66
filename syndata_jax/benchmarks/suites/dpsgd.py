"""Private training against training without privacy, and against Opacus."""

import dataclasses
from functools import partial

import jax

from syndata_jax.benchmarks.harness import task
from syndata_jax.benchmarks.harness.record import (
  Agenda,
  Case,
  Contender,
  Job,
  measure,
)
from syndata_jax.benchmarks.harness.workload import Workload
from syndata_jax.benchmarks.pytorch import peers, private
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import Engine, Learner
from syndata_jax.paradigms.dpsgd.learner import private_sgd
from syndata_jax.paradigms.dpsgd.options import Options, mechanism

_OPTIONS = Options(
  noise_multiplier=1.0,
  delta=1e-6,
  clip_norm=1.0,
  augmentation_multiplicity=1,
)
_DIGITS = Workload("convnet", {"width": 32}, (8, 8, 1), 64, augment=False)
_FASHION = Workload("convnet", {"width": 32}, (28, 28, 1), 64, augment=False)
_GPU = Workload("convnet", {"width": 128}, (32, 32, 3), 256, augment=False)


def suite(quick: bool, rounds: int) -> Agenda:
  """Speed, then memory against the size of a microbatch."""
  accelerator = jax.default_backend() != "cpu"
  work = [_GPU] if accelerator else [_DIGITS, _FASHION]
  steps, models = (8, 8) if quick else (16, 8)
  cases = [partial(against_opacus, w, models, steps, rounds) for w in work]
  cases.append(partial(microbatches, work[-1], models, 4, rounds))
  notes = (
    "Examples a second, of all models together: Poisson batches, clipping to"
    " norm 1, noise, no augmentation. Opacus trains one model; several would"
    " train one after another at the same rate.",
    "`ghost` finds norms without per-example gradients, `formed` forms them."
    " `not private` is the same network and batch size with plain SGD.",
  )
  return Agenda("DP-SGD", "examples/s", notes, tuple(cases))


def against_opacus(
  work: Workload, num_models: int, steps: int, rounds: int
) -> Case:
  """Ours both ways, ours without privacy, and Opacus in every mode.

  Args:
    work: what the models learn.
    num_models: M of ours.
    steps: of a round.
    rounds: timed rounds of each contender.
  """
  contenders = [
    Contender(
      f"syndata_jax, {method}, M = {num_models}",
      False,
      partial(prepare, work, num_models, steps, method),
    )
    for method in ("ghost", "formed")
  ]
  contenders.append(
    Contender(
      f"syndata_jax, not private, M = {num_models}",
      False,
      partial(task.undefended, work, num_models, steps, jax.local_devices()),
    )
  )
  on_cpu = jax.default_backend() == "cpu"
  for mode in private.MODES:
    opacus = partial(
      private.prepare,
      work,
      mode,
      steps,
      _OPTIONS.clip_norm,
      _OPTIONS.noise_multiplier,
    )
    contenders += peers.contenders(f"Opacus, {mode}", opacus, on_cpu)
  return measure(work.name, work.settings(), contenders, rounds)


def microbatches(
  work: Workload, num_models: int, steps: int, rounds: int
) -> Case:
  """Peak memory and speed for growing microbatches.

  Args:
    work: what the models learn.
    num_models: M.
    steps: of a round.
    rounds: timed rounds of each contender.
  """
  contenders = [
    Contender(
      f"microbatch {size}",
      False,
      partial(prepare, work, num_models, steps, "ghost", size),
    )
    for size in (4, 16, 64)
  ]
  name = f"microbatches, M = {num_models}: {work.name}"
  return measure(name, work.settings(), contenders, rounds)


def prepare(
  work: Workload,
  num_models: int,
  steps: int,
  method: str,
  microbatch: int = 0,
) -> Job:
  """M private models; a round is one epoch of `steps` Poisson batches.

  Args:
    work: what they learn; its batch size is expected.
    num_models: M.
    steps: of an epoch.
    method: how gradients are clipped, of `clipping.METHODS`.
    microbatch: examples at once, 0 for a number by rule.
  """
  tools = task.engine(work, num_models, jax.local_devices())
  recipe = dataclasses.replace(tools.recipe, num_epochs=1)
  tools = tools._replace(recipe=recipe)
  options = dataclasses.replace(_OPTIONS, microbatch=microbatch)
  make = partial(learner, tools, options, method)
  return task.training(work, tools, steps, make)


def learner(
  tools: Engine, options: Options, method: str, data: TrainingSet
) -> Learner:
  """DP-SGD as the suite has it, accounted for one epoch of `data`.

  Args:
    tools: network and recipe.
    options: of the paradigm.
    method: how gradients are clipped.
    data: of all models.
  """
  accounted = mechanism(options, tools.recipe, data.size)
  return private_sgd(tools, options, accounted, data, method=method)
