"""The first half of an audit: from data to the logits of all models."""

import datetime
import pathlib
import time
from typing import Any

import jax
from rich.console import Console

from syndata_jax import data, files
from syndata_jax.attack import GradientCanaries, save_predictions
from syndata_jax.data import AuditSplit
from syndata_jax.ensemble import Round, Workspace, querier
from syndata_jax.ensemble.flops import peak_flops
from syndata_jax.errors import UserError
from syndata_jax.identity import versions
from syndata_jax.keys import stream
from syndata_jax.paradigms import Queried
from syndata_jax.programs import audited, guarantee
from syndata_jax.programs import workdir as workdirs
from syndata_jax.programs.plan import Plan, flops_per_image
from syndata_jax.programs.query import Ask, query
from syndata_jax.programs.settings import identity
from syndata_jax.programs.synthetic import synthesize
from syndata_jax.reporting import stage_progress

# The stage of the audited networks, and its folder in the workdir.
FINAL = "ensemble"


def train_and_query(plan: Plan, path: str, console: Console) -> pathlib.Path:
  """Runs an audit up to `predictions.npz`, or as far as it is not yet there.

  Args:
    plan: the audit.
    path: the workdir.
    console: where to say how far it is.

  Returns:
    The workdir.

  Raises:
    UserError: the workdir is not right, and nothing was written; or a stage
      cannot go on.
  """
  facts = identity(plan.settings) | {"data": workdirs.fingerprint(plan.dataset)}
  workdir = workdirs.open_workdir(path, facts)
  guarantee.state(workdir, plan.paradigm.statement)
  _keep_split(workdir / "split.npz", plan.split)
  audited.keep(workdir, plan)
  if (workdir / "predictions.npz").exists():
    return workdir
  start = time.perf_counter()
  # What earlier starts spent, as far as they noted it.
  before = sum(each["seconds"] for each in workdirs.read_metrics(workdir))
  key = jax.random.key(plan.settings.seed)
  every = plan.settings.performance.checkpoint_every
  with stage_progress(console) as show:

    def on_round(done: Round) -> None:
      workdirs.add_metrics(workdir, done)
      show(done)

    synthesized = synthesize(
      plan,
      stream(key, "synthesize"),
      workdir / "synthetic",
      every,
      on_round,
    )
    training_set = synthesized.training_set
    final = Workspace(workdir, on_round, every)
    paradigm = plan.paradigm
    state = final.train(
      FINAL,
      paradigm.queried.layout,
      paradigm.learner,
      stream(key, "learn"),
      training_set,
    )
  learner = paradigm.learner(training_set)
  released = learner.release(state)
  others = paradigm.others(training_set)
  answers = query(
    plan,
    _ask(Queried(paradigm.queried, released)),
    training_set,
    {name: _ask(other) for name, other in others.items()},
  )
  if learner.canaries is not None:
    included, scores = (array.T for array in learner.canaries(state))
    answers = answers._replace(white_box=GradientCanaries(scores, included))
  seconds = before + time.perf_counter() - start
  machine = _described(plan, synthesized.seconds) | {"wall_seconds": seconds}
  files.write_json(workdir / "machine.json", machine)
  save_predictions(workdir / "predictions.npz", answers)
  return workdir


def _ask(networks: Queried) -> Ask:
  return querier(networks.engine, networks.variables)


def _keep_split(path: pathlib.Path, split: AuditSplit) -> None:
  """Writes the split, or makes sure that the stored one is the same."""
  if not path.exists():
    data.save_split(path, split)
    return
  stored = data.load_split(path)
  for name, there, here in zip(split._fields, stored, split, strict=True):
    if there.shape != here.shape or (there != here).any():
      raise UserError(
        f"{path}: its {name} is not what the seed draws; restore the file, or"
        " delete it to have it written again"
      )


def _described(plan: Plan, synthesize_seconds: float) -> dict[str, Any]:
  """What the report needs to know of the run, its machine and its network."""
  engine = plan.paradigm.queried
  devices = engine.layout.devices
  now = datetime.datetime.now(datetime.UTC)
  return {
    "device": devices[0].device_kind,
    "devices": len(devices),
    "precision": engine.dtype.name,
    "training_flops_per_image": flops_per_image(plan),
    "peak_flops": peak_flops(devices[0], engine.dtype),
    "synthesize_seconds": synthesize_seconds,
    "chosen_as": plan.paradigm.chosen_as,
    "num_members": plan.split.members.shape[1],
    "date": now.isoformat(timespec="seconds"),  # when all were queried
    "versions": versions(),
  }
