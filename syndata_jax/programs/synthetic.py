"""The stage between private data and training: `synthetic/` in the workdir."""

import io
import os
import pathlib
import time
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console

from syndata_jax.data import AuditSplit
from syndata_jax.data.training_set import TrainingSet, Whitening
from syndata_jax.ensemble import Round, Workspace
from syndata_jax.errors import UserError
from syndata_jax.programs.plan import Plan
from syndata_jax.programs.workdir import read_json, write_json
from syndata_jax.reporting import image_sheet, stage_progress

_FOLDER = "synthetic"
_WHITENING = tuple(f"whitening_{name}" for name in Whitening._fields)


class Synthesized(NamedTuple):
  """What the models learn from, and what making it took."""

  training_set: TrainingSet
  seconds: float


def synthesize(
  plan: Plan,
  key: jax.Array,
  workdir: pathlib.Path,
  every: int,
  console: Console,
) -> Synthesized:
  """Runs the paradigm's first step, or reads what an earlier start made.

  Only what is not in the private pool is kept: nothing of the private data
  themselves, the rows of a coreset, all of a distilled set. Networks that a
  paradigm trains on the way have their checkpoints beside it.

  Args:
    plan: the audit.
    key: of all draws of this stage.
    workdir: the run's folder.
    every: rounds between two checkpoints.
    console: where to say how far it is.

  Raises:
    UserError: the file is damaged.
  """
  path = workdir / _FOLDER / "training_set.npz"
  if path.exists():
    return _read(path, plan)
  clock = path.with_name("spent.json")
  before = read_json(clock)["seconds"] if clock.exists() else 0.0
  start = time.perf_counter()
  spent = lambda: before + time.perf_counter() - start
  with stage_progress(console) as show:

    def on_round(done: Round) -> None:
      path.parent.mkdir(exist_ok=True)
      write_json(clock, {"seconds": spent()})
      show(*done)

    workspace = Workspace(path.parent, on_round, every=every)
    made = plan.paradigm.synthesize(key, plan.private, workspace)
  found = Synthesized(made, spent())
  if made.members is not plan.private.members:
    _write(path, plan, found)
  if made.images.dtype == np.float32:
    _picture(path.with_name("first_model.png"), plan, made)
  return found


def selected(training_set: TrainingSet, split: AuditSplit) -> np.ndarray | None:
  """bool[Q,M], which canaries each model's set was made from.

  None where that is all of its data, or nothing that can be named.
  """
  if training_set.chosen is None:
    return None
  own = [np.isin(split.canary_index, rows) for rows in training_set.chosen]
  return np.stack(own, axis=1)


def _write(path: pathlib.Path, plan: Plan, made: Synthesized) -> None:
  training_set = made.training_set
  arrays: dict[str, Any] = training_set._asdict()
  for name in ("images", "labels"):
    if arrays[name] is getattr(plan.private, name):
      del arrays[name]
  whitening = arrays.pop("whitening")
  if whitening is not None:
    arrays |= zip(_WHITENING, whitening, strict=True)
  arrays["seconds"] = made.seconds
  content = io.BytesIO()
  stored = {name: a for name, a in arrays.items() if a is not None}
  np.savez(content, allow_pickle=False, **stored)
  path.parent.mkdir(exist_ok=True)
  part = path.with_suffix(".part")
  part.write_bytes(content.getvalue())
  os.replace(part, path)


def _picture(path: pathlib.Path, plan: Plan, training_set: TrainingSet) -> None:
  """The first model's images, back from what the network reads to pixels."""
  own = training_set.members[0]
  images, labels = training_set.images[own], training_set.labels[own]
  if labels.ndim > 1:
    labels = labels.argmax(-1)
  by = training_set.whitening
  if by is None:
    images = images * plan.engine.std + plan.engine.mean
  else:
    flat = images.reshape(len(images), -1)
    flat = np.linalg.solve(by.matrix[0], flat.T).T + by.mean[0]
    images = flat.reshape(images.shape)
  image_sheet(path, images, labels)


def _read(path: pathlib.Path, plan: Plan) -> Synthesized:
  try:
    with np.load(path, allow_pickle=False) as archive:
      arrays: dict[str, Any] = dict(archive)
    seconds = float(arrays.pop("seconds"))
    if _WHITENING[0] in arrays:
      arrays["whitening"] = Whitening(*(arrays.pop(n) for n in _WHITENING))
    arrays.setdefault("images", plan.private.images)
    arrays.setdefault("labels", plan.private.labels)
    return Synthesized(TrainingSet(**arrays), seconds)
  # Damaged bytes raise nearly anything.
  except Exception as error:
    raise UserError(f"{path}: damaged ({error}); delete it") from error
