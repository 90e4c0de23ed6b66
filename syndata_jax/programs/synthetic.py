"""The stage between private data and training: `synthetic/` in the workdir.

Only what is not in the private pool is kept: nothing of the private data
themselves, the rows of a coreset, all of a distilled set. One file an array,
read by parts where it is large, and a list of them that is written last.
"""

import hashlib
import pathlib
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from syndata_jax import files
from syndata_jax.data.training_set import (
  Private,
  TrainingSet,
  enter,
  named_leaves,
)
from syndata_jax.ensemble import Round, Workspace
from syndata_jax.ensemble.stages import OnRound
from syndata_jax.errors import UserError
from syndata_jax.programs.plan import Plan
from syndata_jax.reporting import image_sheet

_LIST = "training_set.json"
_RELEASED = "released."


class Synthesized(NamedTuple):
  """What the models learn from, and what making it took."""

  training_set: TrainingSet  # it has entered
  seconds: float
  # Whether there are images other than each model's own members as they are.
  makes_images: bool = True


def synthesize(
  plan: Plan,
  key: jax.Array,
  folder: pathlib.Path,
  every: int,
  on_round: OnRound,
) -> Synthesized:
  """Runs the paradigm's first step, or reads what an earlier start made.

  Args:
    plan: the audit.
    key: of all draws of this stage.
    folder: for the set, and for the stages that make it.
    every: rounds between two checkpoints.
    on_round: is told of every round.

  Raises:
    UserError: a stored set is damaged, or the paradigm's is refused; see
      `data.training_set.enter`.
  """
  private = plan.private
  earlier = _stored(plan, folder)
  if earlier is not None:
    return earlier
  clock = folder / "spent.json"
  before = files.read_json(clock)["seconds"] if clock.exists() else 0.0
  start = time.perf_counter()
  spent = lambda: before + time.perf_counter() - start

  def timed(done: Round) -> None:
    folder.mkdir(exist_ok=True)
    files.write_json(clock, {"seconds": spent()})
    on_round(done)

  workspace = Workspace(folder, timed, every)
  training_set = plan.paradigm.synthesize(key, private, workspace)
  entered = enter(training_set, private)
  seconds = spent()
  makes_images = not is_private_pool(training_set, private)
  if makes_images:
    _write(folder, training_set, seconds)
    pixels = plan.paradigm.pixels(entered, 0)
    labels = entered.of_model(0)[1]
    labels = labels.argmax(-1) if labels.ndim > 1 else labels
    image_sheet(folder / "first_model.png", pixels, labels)
  return Synthesized(entered, seconds, makes_images)


def stored(plan: Plan, folder: pathlib.Path) -> TrainingSet | None:
  """The set that `synthesize` has kept; None where it keeps none.

  Args:
    plan: the audit.
    folder: of `synthesize`.

  Raises:
    UserError: a stored set is damaged.
  """
  earlier = _stored(plan, folder)
  return None if earlier is None else earlier.training_set


def _stored(plan: Plan, folder: pathlib.Path) -> Synthesized | None:
  if not (folder / _LIST).exists():
    return None
  earlier = _read(folder)
  return earlier._replace(
    training_set=enter(earlier.training_set, plan.private)
  )


def is_private_pool(training_set: TrainingSet, private: Private) -> bool:
  """Whether nothing is in the set but each model's own members."""
  images, labels, members, released, chosen = training_set
  if not all(part is None for part in (images, labels, released, chosen)):
    return False
  return members is not None and np.array_equal(members, private.members)


def _write(
  folder: pathlib.Path, training_set: TrainingSet, seconds: float
) -> None:
  folder.mkdir(exist_ok=True)
  arrays = {
    name: array
    for name, array in training_set._asdict().items()
    if array is not None and name != "released"
  }
  for name, array in named_leaves(training_set.released or {}):
    arrays[_RELEASED + name] = array
  digests = {}
  for name, array in arrays.items():
    with files.write_stream(folder / f"{name}.npy") as stream:
      np.save(stream, array, allow_pickle=False)
    digests[name] = _digest(folder / f"{name}.npy")
  files.write_json(folder / _LIST, {"seconds": seconds, "sha256": digests})


def _read(folder: pathlib.Path) -> Synthesized:
  """What `_write` wrote; arrays are read from disk where they are used."""
  listed = files.read_json(folder / _LIST)
  try:
    seconds, digests = float(listed["seconds"]), dict(listed["sha256"])
  except (KeyError, TypeError, ValueError) as error:
    raise UserError(f"{folder / _LIST}: damaged; delete {folder}") from error
  fields: dict[str, Any] = dict.fromkeys(TrainingSet._fields)
  for name, digest in digests.items():
    array = _load(folder / f"{name}.npy", digest)
    if not name.startswith(_RELEASED):
      fields[name] = array
      continue
    *path, last = name.removeprefix(_RELEASED).split(".")
    fields["released"] = node = fields["released"] or {}
    for part in path:
      node = node.setdefault(part, {})
    node[last] = array
  try:
    return Synthesized(TrainingSet(**fields), seconds)
  except TypeError as error:
    raise UserError(f"{folder / _LIST}: damaged; delete {folder}") from error


def _load(path: pathlib.Path, digest: str) -> np.ndarray:
  try:
    if _digest(path) != digest:
      raise ValueError("its digest is another one")
    return np.load(path, mmap_mode="r", allow_pickle=False)
  except (OSError, ValueError) as error:
    raise UserError(
      f"{path}: damaged ({error}); delete {path.parent / _LIST} to make the set"
      " again"
    ) from error


def _digest(path: pathlib.Path) -> str:
  with path.open("rb") as stream:
    return hashlib.file_digest(stream, "sha256").hexdigest()
