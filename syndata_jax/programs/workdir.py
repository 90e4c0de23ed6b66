"""A run's folder: its stages are its files, each complete or absent."""

import hashlib
import json
import operator
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from syndata_jax.data import Dataset
from syndata_jax.errors import UserError


def fingerprint(dataset: Dataset) -> str:
  """A digest of the data, so that a run never continues on other images."""
  digest = hashlib.sha256()
  for array in (
    dataset.train_images,
    dataset.train_labels,
    dataset.test_images,
    dataset.test_labels,
  ):
    digest.update(np.ascontiguousarray(array).tobytes())
  return digest.hexdigest()


def open_workdir(path: str, identity: dict[str, Any]) -> pathlib.Path:
  """Creates the folder of a run, or finds the one to continue.

  Args:
    path: the folder.
    identity: JSON-ready fields that make a run what it is; kept in
      `config.json`.

  Raises:
    UserError: the folder cannot be written, or holds another run.
  """
  workdir = pathlib.Path(path)
  config = workdir / "config.json"
  try:
    if config.exists():
      _refuse_other(workdir, read_json(config), identity)
    elif workdir.is_dir() and _foreign(workdir):
      raise UserError(
        f"--workdir={path}: holds files but no config.json; name a new folder"
      )
    else:
      workdir.mkdir(parents=True, exist_ok=True)
      write_json(config, identity)
    _check_writable(workdir)
  except OSError as error:
    raise UserError(
      f"--workdir={path}: cannot be written ({error.strerror})"
    ) from error
  return workdir


def _foreign(workdir: pathlib.Path) -> bool:
  """Whether there is more than a run leaves that was killed at its start."""
  return any(path.name != "config.json.part" for path in workdir.iterdir())


def _check_writable(workdir: pathlib.Path) -> None:
  probe = workdir / ".writable"
  probe.touch()
  probe.unlink()


def _refuse_other(
  workdir: pathlib.Path, there: dict[str, Any], here: dict[str, Any]
) -> None:
  differing = differences(there, here)
  if differing:
    raise UserError(
      f"--workdir={workdir}: holds another run ({'; '.join(differing)});"
      " name another folder"
    )


def differences(
  there: dict[str, Any],
  here: dict[str, Any],
  same: Callable[[Any, Any], bool] = operator.eq,
) -> list[str]:
  """Says of each field that differs what it is there and here."""
  return [
    f"{name} is {there.get(name)!r} there and {here.get(name)!r} here"
    for name in sorted(there.keys() | here.keys())
    if not same(there.get(name), here.get(name))
  ]


def read_json(path: pathlib.Path) -> dict[str, Any]:
  """Reads a JSON object.

  Raises:
    UserError: the file is damaged.
  """
  try:
    return json.loads(path.read_text(encoding="utf-8"))
  except ValueError as error:
    raise UserError(f"{path}: damaged ({error}); delete it") from error


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes JSON in one step: the file is whole or not there."""
  write_text(path, json.dumps(value, indent=2) + "\n")


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes text in one step: the file is whole or not there."""
  part = path.with_name(path.name + ".part")
  part.write_text(text, encoding="utf-8")
  os.replace(part, path)


def read_metrics(workdir: pathlib.Path) -> list[dict[str, Any]]:
  """The records of `metrics.jsonl`, one an epoch; [] where there are none.

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


def add_metrics(workdir: pathlib.Path, record: dict[str, Any]) -> None:
  """Adds the record of an epoch, replacing what a killed run left after it."""
  kept = [r for r in read_metrics(workdir) if r["epoch"] < record["epoch"]]
  lines = [json.dumps(r) + "\n" for r in [*kept, record]]
  write_text(workdir / "metrics.jsonl", "".join(lines))
