"""What an audit will cost: compiled in full, timed on a few steps.

Nothing is written but the cache of compiled programs, from which the audit
itself then starts at once.
"""

import pathlib
import tempfile
import time
from collections.abc import Iterable

import jax
import numpy as np
from rich.console import Console

from syndata_jax import attack, keys
from syndata_jax.attack import Closeness, PredictionFile
from syndata_jax.data.training_set import TrainingSet, enter
from syndata_jax.ensemble import memory
from syndata_jax.ensemble.predict import images_at_once, query_program
from syndata_jax.ensemble.rehearsal import Estimate, Rehearsal
from syndata_jax.images.quality import classified
from syndata_jax.keys import stream
from syndata_jax.paradigms import Queried
from syndata_jax.programs import images
from syndata_jax.programs.plan import Plan, flops_per_image, make_plan
from syndata_jax.programs.query import Ask, query
from syndata_jax.programs.settings import Settings
from syndata_jax.programs.shadows import FINAL
from syndata_jax.programs.synthetic import is_private_pool
from syndata_jax.reporting import Stage, render_stages
from syndata_jax.reporting.formats import counted, duration

# Images of a set that are compared, at most, for those of a whole one.
_COMPARED = 1024


def dry_run(
  settings: Settings, data_dir: str | None, device_axis: str, console: Console
) -> None:
  """Predicts every stage of the audit, and prints it.

  Args:
    settings: of the audit.
    data_dir: where the data set's own files are.
    device_axis: how models are split over devices.
    console: where to.

  Raises:
    UserError: settings or data are not right, or a device's memory is too
      small.
  """
  start = time.perf_counter()
  plan = make_plan(settings, data_dir, device_axis)
  loaded = Stage(
    "data", time.perf_counter() - start, plan.private.images.nbytes
  )
  key, flops = jax.random.key(settings.seed), flops_per_image(plan)
  devices = plan.paradigm.queried.layout.devices
  with (
    tempfile.TemporaryDirectory() as folder,
    console.status("Compiling, and timing a few steps"),
  ):
    rehearsal = Rehearsal(pathlib.Path(folder))
    training_set, rest, makes_images = _synthesize(
      plan, stream(key, "synthesize"), rehearsal
    )
    state = rehearsal.train(
      FINAL,
      plan.paradigm.queried.layout,
      plan.paradigm.learner,
      stream(key, "learn"),
      training_set,
    )
    released = plan.paradigm.learner(training_set).release(state)
    queried, answers = _query(plan, released, training_set, flops)
    *synthesized, final = rehearsal.estimates
    compared: list[Stage] = []
    judged: list[Stage] = []
    if makes_images:
      compared, names = _compare(plan, training_set, pathlib.Path(folder))
      judged = _classify(plan, training_set, pathlib.Path(folder))
      answers = answers._replace(closeness=_closeness(answers, names))
  trained = _stage(final, final.images * flops)
  stages = [loaded, *map(_stage, synthesized), rest, trained]
  stages += [*compared, queried]
  render_stages(
    [*stages, *judged, _attack(answers)],
    f"{len(devices)} x {devices[0].device_kind}",
    memory.capacity(devices[0]),
    console,
  )


def _synthesize(
  plan: Plan, key: jax.Array, rehearsal: Rehearsal
) -> tuple[TrainingSet, Stage, bool]:
  """The set, the stage of what is not done in rounds, whether it has images."""
  start = time.perf_counter()
  training_set = plan.paradigm.synthesize(key, plan.private, rehearsal)
  seconds = time.perf_counter() - start - rehearsal.spent()
  entered = enter(training_set, plan.private)
  return (
    entered,
    Stage("synthesize", seconds, entered.nbytes),
    not is_private_pool(training_set, plan.private),
  )


def _stage(estimate: Estimate, flops: float = 0.0) -> Stage:
  note = (
    f"compiled in {duration(estimate.compilation)}, which the audit takes from"
    f" the cache; then {counted(estimate.rounds, 'round')} of"
    f" {duration(estimate.round)};"
    f" {counted(estimate.chunk, 'model')} at once on each device"
  )
  return Stage(
    estimate.stage,
    estimate.seconds,
    estimate.memory,
    estimate.models,
    flops,
    note,
  )


def _compare(
  plan: Plan, training_set: TrainingSet, folder: pathlib.Path
) -> tuple[list[Stage], Iterable[str]]:
  """The stages of what the images give away, and the names of the spaces.

  Two sets stand for all.
  """
  rehearsal = Rehearsal(folder)
  spaces = images.spaces(plan, rehearsal)
  models, size = training_set.num_models, training_set.size
  trial = images.Trial(min(2, models), min(_COMPARED, size))
  taken: list[float] = []
  start = time.perf_counter()
  compared = images.compare(
    plan,
    training_set,
    spaces,
    plan.paradigm.others(training_set),
    lambda done: taken.append(done.seconds),
    trial,
  )
  once = time.perf_counter() - start - sum(taken)
  # The first one includes the compilation.
  each = taken[-1] * size / trial.images
  pool = plan.private.images.size * np.dtype(np.float32).itemsize
  note = f"{counted(size, 'image')} of each model, {duration(each)}"
  stage = Stage(
    images.STAGE, once + taken[0] + models * each, pool, models, note=note
  )
  return [*map(_stage, rehearsal.estimates), stage], compared.closeness


def _classify(
  plan: Plan, training_set: TrainingSet, folder: pathlib.Path
) -> list[Stage]:
  """The networks that tell what the images teach."""
  rehearsal = Rehearsal(folder)
  classified(plan.paradigm, training_set, plan.dataset, rehearsal)
  return [_stage(estimate) for estimate in rehearsal.estimates]


def _closeness(
  answers: PredictionFile, names: Iterable[str]
) -> dict[str, Closeness]:
  """Numbers of the right shapes, by the name of a space; see `_attack`."""
  random = keys.generator(0, "dry_run/closeness")
  populations = {
    field: getattr(answers, field).membership
    for field in Closeness._fields
    if getattr(answers, field) is not None
  }
  return {
    name: Closeness(
      **{
        field: random.normal(size=each.shape).astype(np.float32)
        for field, each in populations.items()
      }
    )
    for name in names
  }


def _query(
  plan: Plan, released: dict, training_set: TrainingSet, flops: float
) -> tuple[Stage, PredictionFile]:
  """The stage, and predictions of the right shapes."""
  engine, models = plan.paradigm.queried, plan.settings.num_models
  seconds, largest, asked = 0.0, 0, 0
  random = keys.generator(0, "dry_run")

  def timed(networks: Queried) -> Ask:
    placed = networks.engine.layout.place(networks.variables)

    def ask(images: np.ndarray) -> np.ndarray:
      nonlocal seconds, largest, asked
      taken, size = _ask_once(networks, placed, images)
      seconds += taken
      largest, asked = max(largest, size), asked + len(images)
      shape = models, len(images), plan.dataset.num_classes
      return random.normal(size=shape).astype(np.float32)

    return ask

  others = plan.paradigm.others(training_set)
  answers = query(
    plan,
    timed(Queried(engine, released)),
    training_set,
    {name: timed(other) for name, other in others.items()},
  )
  views = answers.canaries.logits.shape[2]
  note = f"{counted(views, 'view')} of each audited image and dummy canary"
  operations = models * asked * flops / 3  # of prediction alone
  return Stage("query", seconds, largest, models, operations, note), answers


def _ask_once(
  networks: Queried, placed: dict, images: np.ndarray
) -> tuple[float, int]:
  """Seconds that all images will take, and bytes on a device."""
  layout, size = networks.engine.layout, images_at_once(len(images))
  part = layout.replicate(np.resize(images, (size, *images.shape[1:])))
  start = time.perf_counter()
  wrapped = query_program(networks.engine, placed, part)
  program = wrapped.lower(placed, None, part).compile()
  compilation = time.perf_counter() - start
  jax.block_until_ready(program(placed, None, part))
  start = time.perf_counter()
  layout.gather(program(placed, None, part))
  once = time.perf_counter() - start
  total = compilation + once * -(-len(images) // size)
  return total, memory.compiled_bytes(program) or 0


def _attack(answers: PredictionFile) -> Stage:
  """The attack itself, on random logits: its time depends on sizes alone."""
  start = time.perf_counter()
  attack.attack(answers)
  # Logits and scores are kept in float64 beside the float32 of the file.
  populations = filter(
    None, (answers.canaries, answers.average, answers.dummies)
  )
  size = sum(each.logits.nbytes for each in populations)
  return Stage("attack", time.perf_counter() - start, 3 * size)
