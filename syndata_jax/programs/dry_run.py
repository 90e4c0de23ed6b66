"""What an audit will cost: compiled in full, timed on a few steps.

Nothing is written but the cache of compiled programs, from which the audit
itself then starts at once.
"""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from syndata_jax import attack, keys
from syndata_jax.attack import PredictionFile, Predictions
from syndata_jax.data import augmentation
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import Round, Workspace, memory
from syndata_jax.ensemble.predict import batch_size, querying
from syndata_jax.ensemble.train import prepare
from syndata_jax.keys import stream
from syndata_jax.programs.plan import Plan, flops_per_image, make_plan
from syndata_jax.programs.settings import Settings
from syndata_jax.reporting import Stage, render_stages
from syndata_jax.reporting.formats import counted, duration

_ROUNDS = 3  # of each stage of `synthesize`
_STEPS = 8  # of the trial, for each model
_SECONDS = 5.0  # the trial is repeated for as long


def dry_run(
  settings: Settings, data_dir: str | None, device_axis: str, console: Console
) -> None:
  """Predicts every stage of the audit, and prints it.

  Raises:
    UserError: settings or data are not right, or a device's memory is too
      small.
  """
  start = time.perf_counter()
  plan = make_plan(settings, data_dir, device_axis)
  loaded = Stage(
    "data", time.perf_counter() - start, plan.private.images.nbytes
  )
  key = jax.random.key(settings.seed)
  with memory.exhaustion(plan.engine.layout):
    training_set, synthesized = _synthesize(plan, stream(key, "synthesize"))
    trained, state = _train(plan, settings, key, training_set)
    queried, views = _query(plan, settings, state)
  stages = [loaded, *synthesized, trained, queried, _attack(plan, views)]
  devices = plan.engine.layout.devices
  render_stages(
    stages,
    f"{len(devices)} x {devices[0].device_kind}",
    memory.capacity(devices[0]),
    console,
  )


def _synthesize(plan: Plan, key: jax.Array) -> tuple[TrainingSet, list[Stage]]:
  """A trial of every stage of it, and what each will take in full."""
  rounds: dict[str, list[Round]] = {}

  def on_round(done: Round) -> None:
    rounds.setdefault(done.stage, []).append(done)

  start = time.perf_counter()
  workspace = Workspace(on_round=on_round, trial=_ROUNDS)
  training_set = plan.paradigm.synthesize(key, plan.private, workspace)
  seconds = time.perf_counter() - start
  stages, models = [], plan.engine.layout.num_models
  for name, done in rounds.items():
    first, *rest = (each.seconds for each in done)
    steady, of = float(np.median(rest or [first])), done[0].of
    note = f"{counted(of, 'round')} of {duration(steady)} after the first"
    stages.append(
      Stage(name, first + (of - 1) * steady, None, models, note=note)
    )
  # What is not done in rounds was done in full.
  seconds -= sum(each.seconds for done in rounds.values() for each in done)
  size = training_set.images.nbytes
  return training_set, [*stages, Stage("synthesize", seconds, size)]


def _train(
  plan: Plan, settings: Settings, key: jax.Array, training_set: TrainingSet
) -> tuple[Stage, Any]:
  """The stage, and an ensemble to query."""
  engine, learner = plan.engine, plan.paradigm.learner(training_set)
  layout, key = engine.layout, stream(key, "learn")
  start = time.perf_counter()
  run, fresh, _, own, pool = prepare(layout, learner, key, training_set)
  state = layout.place(fresh())
  compiled = run.lower(state, own, pool).compile()
  first = time.perf_counter() - start
  # The audit will find the program in the cache.
  start = time.perf_counter()
  run, *_ = prepare(layout, learner, key, training_set)
  run.lower(state, own, pool).compile()
  again = time.perf_counter() - start

  # The same epoch, but shorter.
  trial = plan.paradigm.learner(training_set, steps=_STEPS)
  run, _, _, own, pool = prepare(layout, trial, key, training_set)
  step = run.lower(state, own, pool).compile()
  taken: list[float] = []
  while len(taken) < 2 or sum(taken) < _SECONDS:
    start = time.perf_counter()
    state, metrics = step(state, own, pool)
    jax.block_until_ready((state, metrics))
    taken.append(time.perf_counter() - start)
  epoch = float(np.median(taken)) * learner.images / trial.images
  seconds = again + learner.num_epochs * epoch
  images = layout.num_models * learner.images * learner.num_epochs
  stage = Stage(
    "train",
    seconds,
    memory.compiled_bytes(compiled),
    layout.num_models,
    images * flops_per_image(settings, plan),
    f"compiled in {duration(first)}, which the audit takes from the cache;"
    f" then {counted(learner.num_epochs, 'epoch')} of {duration(epoch)};"
    f" {counted(layout.chunk, 'model')} at once on each device",
  )
  return stage, learner.finish(layout.gather(state))


def _query(
  plan: Plan, settings: Settings, state: Any
) -> tuple[Stage, tuple[int, int]]:
  """The stage, and (views, logits) of an audited image."""
  split, engine, layout = plan.split, plan.paradigm.engine, plan.engine.layout
  recipe = engine.recipe
  one = augmentation.audit_views(
    jnp.asarray(plan.private.images[:1]), recipe.shift, recipe.flip
  )
  views = one.shape[1]
  counts = [
    views * len(split.canary_index),
    views * len(split.average_index),
    len(plan.dataset.test_images),
  ]
  seconds, largest = 0.0, 0
  for count in filter(None, counts):
    batch = batch_size(count)
    images = layout.replicate(np.resize(one[0], (batch, *one.shape[2:])))
    placed = layout.place(state)
    start = time.perf_counter()
    lowered = querying(engine).lower(placed, None, images)
    query = lowered.compile()
    seconds += time.perf_counter() - start
    jax.block_until_ready(query(placed, None, images))
    start = time.perf_counter()
    layout.gather(query(placed, None, images))
    seconds += (time.perf_counter() - start) * -(-count // batch)
    largest = max(largest, memory.compiled_bytes(query) or 0)
  stage = Stage(
    "query",
    seconds,
    largest,
    layout.num_models,
    layout.num_models * sum(counts) * flops_per_image(settings, plan) / 3,
    f"{counted(views, 'view')} of each audited image",
  )
  return stage, (views, plan.dataset.num_classes)


def _attack(plan: Plan, logits_of_an_image: tuple[int, int]) -> Stage:
  """The attack itself, on random logits: its time depends on sizes alone."""
  draw = keys.generator(0, "dry_run")
  split = plan.split

  def random(index: np.ndarray, membership: np.ndarray) -> Predictions:
    logits = draw.normal(size=(*membership.shape, *logits_of_an_image))
    return Predictions(
      logits.astype(np.float32), split.labels[index], membership
    )

  file = PredictionFile(
    random(split.canary_index, split.membership),
    random(split.average_index, split.average_membership)
    if len(split.average_index)
    else None,
    None,
  )
  start = time.perf_counter()
  attack.attack(file)
  # Logits and scores are kept in float64 beside the float32 of the file.
  sizes = [p.logits.nbytes for p in (file.canaries, file.average) if p]
  return Stage("attack", time.perf_counter() - start, 3 * sum(sizes))
