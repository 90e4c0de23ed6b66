"""Predictions as a table of text: a line for each example and model.

    example,model,member,loss
    17,0,1,0.0213
    17,1,0,1.8842

Lines may come in any order. In place of `loss` stands `score`, `confidence`,
or `label` and one column for each class: the logits, or the probabilities.
"""

import csv
import io
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from syndata_jax import files
from syndata_jax.errors import UserError, prefixed

_KEYS = ("example", "model", "member")
_VALUES = {
  "score": "scores",
  "loss": "losses",
  "confidence": "confidences",
}
_TRUTH = {"1": True, "true": True, "0": False, "false": False}
_ALLOWED = {
  "member": "0, 1, false or true",
  "label": "a class's name or number",
}
_DELIMITERS = ",;\t|"


class Table(NamedTuple):
  """The arrays of a table, named as in an .npz file."""

  arrays: dict[str, np.ndarray]
  examples: list[str]  # what the table calls row q
  models: list[str]  # what it calls column m


def read(path: files.Path) -> Table:
  """Reads a table; see above.

  Args:
    path: UTF-8 text with a line of names first. Columns are separated by
      comma, semicolon, tab or a bar.

  Returns:
    `membership` bool[Q, M], and `scores`, `losses` or `confidences`
    f64[Q, M], or `logits` f64[Q, M, K] and `labels` i64[Q]. Examples and
    models are in the order of their numbers, or in that of the file where one
    of them has a name that is no number.

  Raises:
    UserError: the file cannot be read, or is no such table.
  """
  try:
    text = pathlib.Path(path).read_text(encoding="utf-8-sig")
  except (OSError, UnicodeDecodeError) as error:
    reason = getattr(error, "strerror", None) or "not UTF-8 text"
    raise UserError(f"{path}: {reason}: a table of text needed") from error
  with prefixed(str(path)):
    return _table(text)


def _table(text: str) -> Table:
  names, body = _lines(text)
  columns = _columns(names)
  examples, row_of = _ids([line[names.index("example")] for line in body])
  models, column_of = _ids([line[names.index("model")] for line in body])
  order = _order(row_of, column_of, examples, models)
  shape = len(examples), len(models)

  def cells(name: str, parse: Callable[[str], Any]) -> np.ndarray:
    """One column as an array [Q, M]."""
    place = names.index(name)
    parsed = []
    for cell in (body[line][place] for line in order):
      try:
        parsed.append(parse(cell))
      except (KeyError, ValueError):
        row, column = divmod(len(parsed), len(models))
        raise UserError(
          f"{name} of example {examples[row]} and model {models[column]} is"
          f" {cell!r}: {_ALLOWED.get(name, 'a finite number')} needed"
        ) from None
    return np.array(parsed).reshape(shape)

  arrays = {"membership": cells("member", lambda cell: _TRUTH[cell.lower()])}
  if columns[0] in _VALUES:
    arrays[_VALUES[columns[0]]] = cells(columns[0], _number)
    return Table(arrays, examples, models)
  arrays["logits"] = np.stack([cells(name, _number) for name in columns], -1)
  classes = {name: place for place, name in enumerate(columns)}
  labels = cells("label", lambda cell: _class(cell.lower(), classes))
  wavering = np.flatnonzero((labels != labels[:, :1]).any(axis=1))
  if wavering.size:
    raise UserError(
      f"example {examples[wavering[0]]} has several labels: that of training"
      " needed, the same for every model"
    )
  arrays["labels"] = labels[:, 0]
  return Table(arrays, examples, models)


def _lines(text: str) -> tuple[list[str], list[list[str]]]:
  """The names of the columns, and the cells of each line below."""
  first = text.partition("\n")[0]
  # The names alone decide: a comma within a number must not.
  try:
    delimiter = csv.Sniffer().sniff(first, _DELIMITERS).delimiter
  except csv.Error:
    delimiter = ","
  reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
  try:
    rows = [
      ([cell.strip() for cell in row], reader.line_num)
      for row in reader
      if any(cell.strip() for cell in row)
    ]
  except csv.Error as error:
    raise UserError(f"line {reader.line_num}: {error}") from error
  if len(rows) < 2:
    raise UserError(f"{len(rows)} lines: one of names and others below needed")
  names = [name.lower() for name in rows[0][0]]
  for row, number in rows[1:]:
    if len(row) != len(names):
      raise UserError(
        f"line {number} has {len(row)} cells: {len(names)} needed, as there are"
        " names in the first"
      )
  return names, [row for row, _ in rows[1:]]


def _columns(names: Sequence[str]) -> list[str]:
  """The columns with the values: one of `_VALUES`, or those of the classes."""
  needed = "example, model, member, and score, loss, confidence, or label and"
  needed += " one column for each class"
  for name in _KEYS:
    if name not in names:
      raise UserError(f"column {name} is missing: {needed} needed")
  twice = [name for name in names if names.count(name) > 1]
  if twice:
    raise UserError(f"column {twice[0]!r} stands there twice: {needed} needed")
  single = [name for name in _VALUES if name in names]
  if single:
    return single[:1]
  classes = [name for name in names if name not in (*_KEYS, "label")]
  if "label" not in names or not classes:
    raise UserError(f"columns are {', '.join(names)}: {needed} needed")
  return classes


def _ids(cells: Sequence[str]) -> tuple[list[str], np.ndarray]:
  """The different ids in order, and the place of each cell's among them."""
  ids = list(dict.fromkeys(cells))
  if all(each.isdecimal() for each in ids):
    ids.sort(key=int)
  places = {each: place for place, each in enumerate(ids)}
  return ids, np.array([places[cell] for cell in cells], int)


def _order(
  rows: np.ndarray,
  columns: np.ndarray,
  examples: Sequence[str],
  models: Sequence[str],
) -> np.ndarray:
  """The lines in the order of the array [Q, M], each cell once.

  Args:
    rows: int[lines], the example of each line.
    columns: int[lines], its model.
    examples: their Q ids.
    models: their M ids.
  """
  flat = rows * len(models) + columns
  counts = np.bincount(flat, minlength=len(examples) * len(models))
  for count, fault in ((counts == 0, "no line"), (counts > 1, "several lines")):
    if count.any():
      row, column = divmod(int(np.flatnonzero(count)[0]), len(models))
      raise UserError(
        f"example {examples[row]} and model {models[column]} have {fault}: each"
        f" of the {len(examples)} examples needs one with each of the"
        f" {len(models)} models"
      )
  return np.argsort(flat)


def _number(cell: str) -> float:
  number = float(cell)
  if not math.isfinite(number):
    raise ValueError
  return number


def _class(cell: str, classes: Mapping[str, int]) -> int:
  """The class of that name, or else of that number."""
  return classes[cell] if cell in classes else int(cell)
