"""A run's folder: its stages are its files, each complete or absent."""

import hashlib
import json
import pathlib
from typing import Any

import numpy as np

from syndata_jax import files, identity
from syndata_jax.data import Dataset
from syndata_jax.ensemble import Round
from syndata_jax.errors import UserError


def fingerprint(dataset: Dataset) -> str:
  """A digest of the data, so that a run never continues on others.

  It covers what is public about them, too: it decides what networks see.
  """
  digest = hashlib.sha256()
  for array in (
    dataset.train_images,
    dataset.train_labels,
    dataset.test_images,
    dataset.test_labels,
  ):
    digest.update(np.ascontiguousarray(array).data)
  scale = [
    [float(number) for number in each] for each in (dataset.mean, dataset.std)
  ]
  facts = [*scale, int(dataset.num_classes), bool(dataset.flip)]
  digest.update(json.dumps(facts).encode())
  return digest.hexdigest()


def open_workdir(
  path: str, facts: dict[str, Any], flag: str = "--workdir"
) -> pathlib.Path:
  """Creates the folder of a run, or finds the one to continue.

  Args:
    path: the folder.
    facts: the identity of the run, JSON-ready; kept in `config.json`.
    flag: that named the folder, for errors.

  Raises:
    UserError: the folder cannot be written, or holds another run.
  """
  workdir = pathlib.Path(path)
  config = workdir / "config.json"
  try:
    if config.exists():
      _refuse_other(f"{flag}={workdir}", files.read_json(config), facts)
    elif workdir.is_dir() and _foreign(workdir):
      raise UserError(
        f"{flag}={path}: holds files but no config.json; name a new folder"
      )
    else:
      workdir.mkdir(parents=True, exist_ok=True)
      files.write_json(config, facts)
    _check_writable(workdir)
  except OSError as error:
    raise UserError(
      f"{flag}={path}: cannot be written ({error.strerror})"
    ) from error
  return workdir


def _foreign(workdir: pathlib.Path) -> bool:
  """Whether there is more than a run leaves that was killed at its start."""
  return not all(map(files.is_unfinished, workdir.iterdir()))


def _check_writable(workdir: pathlib.Path) -> None:
  probe = workdir / ".writable"
  probe.touch()
  probe.unlink()


def _refuse_other(given: str, there: Any, here: dict[str, Any]) -> None:
  if not isinstance(there, dict):
    raise UserError(f"{given}: its config.json is damaged; restore it")
  # What JSON makes of this run's, such as lists of tuples.
  here = json.loads(json.dumps(here))
  differing = identity.differences(there, here)
  if differing:
    raise UserError(
      f"{given}: holds another run ({'; '.join(differing)});"
      " name another folder"
    )


def read_metrics(workdir: pathlib.Path) -> list[dict[str, Any]]:
  """The records of `metrics.jsonl`, one a round; [] where there are none.

  A line that was cut short ends them.
  """
  path = workdir / "metrics.jsonl"
  records: list[dict[str, Any]] = []
  if not path.exists():
    return records
  for line in path.read_text(encoding="utf-8").splitlines():
    try:
      records.append(json.loads(line))
    except ValueError:
      break
  return records


def add_metrics(workdir: pathlib.Path, done: Round) -> None:
  """Adds the record of a round, in the place of what a killed run left."""
  means = {name: float(each.mean()) for name, each in done.metrics.items()}
  record = done._asdict() | means
  del record["metrics"], record["left"]
  stale = lambda other: (
    other["stage"] == done.stage and other["number"] >= done.number
  )
  records = [other for other in read_metrics(workdir) if not stale(other)]
  lines = [json.dumps(each) + "\n" for each in [*records, record]]
  files.write(workdir / "metrics.jsonl", "".join(lines))
