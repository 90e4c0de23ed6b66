"""The stage between private data and training: `synthetic/` in the workdir."""

import io
import os
import pathlib
import time
from typing import NamedTuple

import jax
import numpy as np

from syndata_jax.data import AuditSplit
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.errors import UserError
from syndata_jax.programs.plan import Plan

_FILE = "synthetic/training_set.npz"


class Synthesized(NamedTuple):
  """What the models learn from, and what making it took."""

  training_set: TrainingSet
  seconds: float


def synthesize(
  plan: Plan, key: jax.Array, workdir: pathlib.Path
) -> Synthesized:
  """Runs the paradigm's first step, or reads what an earlier start made.

  Only what is not in the private pool is kept: nothing of the private data
  themselves, the rows of a coreset, all of a distilled set.

  Raises:
    UserError: the file is damaged.
  """
  path = workdir / _FILE
  if path.exists():
    return _read(path, plan)
  start = time.perf_counter()
  made = plan.paradigm.synthesize(key, plan.private)
  seconds = time.perf_counter() - start
  if made.members is not plan.private.members:
    _write(path, plan, Synthesized(made, seconds))
  return Synthesized(made, seconds)


def selected(
  plan: Plan, training_set: TrainingSet, split: AuditSplit
) -> np.ndarray | None:
  """bool[Q,M], which canaries each model learns from.

  None where the models learn from all of their own data, or from images that
  are not private ones.
  """
  private = plan.private
  if training_set.images is not private.images:
    return None
  if training_set.members is private.members:
    return None
  own = [np.isin(split.canary_index, rows) for rows in training_set.members]
  return np.stack(own, axis=1)


def _write(path: pathlib.Path, plan: Plan, made: Synthesized) -> None:
  training_set, arrays = made.training_set, {"seconds": np.array(made.seconds)}
  arrays["members"] = training_set.members
  if training_set.images is not plan.private.images:
    arrays["images"] = training_set.images
    arrays["labels"] = training_set.labels
  content = io.BytesIO()
  np.savez_compressed(content, allow_pickle=False, **arrays)
  path.parent.mkdir(exist_ok=True)
  part = path.with_suffix(".part")
  part.write_bytes(content.getvalue())
  os.replace(part, path)


def _read(path: pathlib.Path, plan: Plan) -> Synthesized:
  try:
    with np.load(path, allow_pickle=False) as archive:
      arrays = dict(archive)
    images = arrays.get("images", plan.private.images)
    labels = arrays.get("labels", plan.private.labels)
    training_set = TrainingSet(images, labels, arrays["members"])
    return Synthesized(training_set, float(arrays["seconds"]))
  # Damaged bytes raise nearly anything.
  except Exception as error:
    raise UserError(f"{path}: damaged ({error}); delete it") from error
