"""What a person hands in: predictions from elsewhere, a title, facts.

The workdir keeps predictions as `predictions.npz`, in the form that attacks
need, and the rest as `given.json`: `title` (text or null), `facts` (an object
of text, numbers and truth values) and `notes` (what was taken for what, a line
each). A rerun may change title and facts: they are no part of its identity.
"""

import hashlib
import pathlib
from typing import Any

from syndata_jax import attack, files
from syndata_jax.attack import Intake
from syndata_jax.errors import UserError
from syndata_jax.identity import circumstances
from syndata_jax.programs.workdir import open_workdir

_FILE = "given.json"


def read_facts(path: str | None) -> dict[str, Any] | None:
  """The facts in a JSON file, to be printed as they are.

  Raises:
    UserError: it cannot be read, or holds anything but a flat object.
  """
  if path is None:
    return None
  file = pathlib.Path(path).expanduser()
  try:
    facts = files.read_json(file)
  except UserError as error:
    raise UserError(
      f"--facts={str(error).removesuffix('; delete it')}"
    ) from error
  allowed = 'an object such as {"Data": "clinic A", "Epochs": 30} needed'
  if not isinstance(facts, dict):
    raise UserError(f"--facts={path}: is {type(facts).__name__}: {allowed}")
  for name, value in facts.items():
    if not isinstance(value, str | int | float):
      raise UserError(
        f"--facts={path}: {name!r} is {type(value).__name__}: text, a number or"
        f" a truth value needed, in {allowed}"
      )
    if "\n" in f"{name}{value}":
      raise UserError(
        f"--facts={path}: {name!r} has several lines: one allowed"
      )
  return facts


def take_in(
  predictions: str, workdir: str, target: str | None
) -> tuple[pathlib.Path, Intake]:
  """Opens a workdir for predictions that came from elsewhere.

  Args:
    predictions: a file or folder in any form that `attack.take_in` reads.
    workdir: the folder of the run.
    target: the model to judge; see there.

  Raises:
    UserError: wrong predictions, before anything is written, or a workdir that
      holds another run.
  """
  path = pathlib.Path(predictions).expanduser()
  intake = attack.take_in(path, target)
  facts = {"predictions": _digest(path)} | circumstances()
  if target is not None:
    facts["target"] = target
  folder = open_workdir(workdir, facts)
  if not (folder / "predictions.npz").exists():
    attack.save_predictions(folder / "predictions.npz", intake.file)
  return folder, intake


def keep(
  workdir: pathlib.Path,
  title: str | None,
  facts: dict[str, Any] | None,
  notes: tuple[str, ...] = (),
) -> None:
  """Writes `given.json` where there is anything to say.

  Args:
    workdir: of the run.
    title: of the report; None keeps the one of an earlier start.
    facts: to print; None keeps those of an earlier start.
    notes: of the intake.
  """
  path = workdir / _FILE
  given: dict[str, Any] = {"title": None, "facts": {}}
  if path.exists():
    given = files.read_json(path)
  if title is not None:
    given["title"] = title or None
  if facts is not None:
    given["facts"] = facts
  given["notes"] = list(notes)
  if path.exists() or any(given.values()):
    files.write_json(path, given)


def _digest(path: pathlib.Path) -> str:
  """SHA-256 of a file, or of the arrays of a folder and their names."""
  if not path.is_dir():
    return hashlib.sha256(path.read_bytes()).hexdigest()
  whole = hashlib.sha256()
  for file in sorted(path.glob("*.npy")):
    whole.update(f"{file.name} {file.stat().st_size} ".encode())
    whole.update(file.read_bytes())
  return whole.hexdigest()
