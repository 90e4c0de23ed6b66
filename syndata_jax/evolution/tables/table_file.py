"""Tables as files of comma-separated values, read against their domain."""

import csv
import io
import pathlib
from collections.abc import Sequence

import numpy as np

from syndata_jax import files
from syndata_jax.errors import UserError, prefixed
from syndata_jax.evolution.tables.columns import Category, Numeric
from syndata_jax.evolution.tables.rows import Rows, Table
from syndata_jax.evolution.tables.schema import Schema

_DELIMITERS = ",;\t|"
# As many as float32 has; more only where a bound would be crossed.
_DIGITS = 7


def read(path: files.Path, schema: Schema) -> Table:
  """Reads a table.

  Args:
    path: UTF-8 text with a line of names first, in any order. Columns are
      separated by comma, semicolon, tab or a bar.
    schema: of the table; every column of it must be there.

  Raises:
    UserError: the file cannot be read, has other columns, or a value outside
      its column's domain.
  """
  try:
    text = pathlib.Path(path).read_text(encoding="utf-8-sig")
  except (OSError, UnicodeDecodeError) as error:
    reason = getattr(error, "strerror", None) or "not UTF-8 text"
    raise UserError(f"{path}: {reason}: a table of text needed") from error
  with prefixed(str(path)):
    names, body, lines = _cells(text)
    _check_names(names, schema)
    # One column at a time: cells are strings, and rows may be millions.
    cells = dict(zip(names, zip(*body, strict=True), strict=True))
    coded = {
      column.name: _codes(column, cells[column.name], lines)
      if isinstance(column, Category)
      else _units(column, cells[column.name], lines)
      for column in schema.columns
    }
  size = len(body)
  labels = coded.get(schema.label, np.zeros(size, np.int32))
  return Table(
    Rows(
      _stacked([coded[each.name] for each in schema.numbers], size, np.float32),
      _stacked(
        [coded[each.name] for each in schema.categories], size, np.int32
      ),
    ),
    np.asarray(labels, np.int32),
  )


def write(path: files.Path, table: Table, schema: Schema) -> None:
  """Writes a table whole, its columns in the order of the schema.

  Args:
    path: of the file; `read` reads it.
    table: B rows.
    schema: of the table.
  """
  floats, categories = (np.asarray(part) for part in table.rows)
  columns = []
  numbers, others = iter(floats.T), iter(categories.T)
  for column in schema.columns:
    if isinstance(column, Numeric):
      columns.append(_texts(column, next(numbers)))
      continue
    is_label = column.name == schema.label
    codes = np.asarray(table.labels) if is_label else next(others)
    columns.append([column.values[code] for code in codes])
  stream = io.StringIO(newline="")
  writer = csv.writer(stream, lineterminator="\n")
  writer.writerow([column.name for column in schema.columns])
  writer.writerows(zip(*columns, strict=True))
  files.write(path, stream.getvalue())


def _cells(text: str) -> tuple[list[str], list[list[str]], list[int]]:
  """Names, the cells of each row below, and the line on which it ends."""
  first = text.partition("\n")[0]
  # The names alone decide: a comma within a number must not.
  try:
    delimiter = csv.Sniffer().sniff(first, _DELIMITERS).delimiter
  except csv.Error:
    delimiter = ","
  reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
  body, lines = [], []
  try:
    for row in reader:
      if row:
        body.append([cell.strip() for cell in row])
        lines.append(reader.line_num)
  except csv.Error as error:
    raise UserError(f"line {reader.line_num}: {error}") from error
  if len(body) < 2:
    raise UserError(f"{len(body)} lines: one of names and others below needed")
  names = body[0]
  for row, line in zip(body, lines, strict=True):
    if len(row) != len(names):
      raise UserError(
        f"line {line} has {len(row)} cells: {len(names)} needed, as there are"
        " names in the first"
      )
  return names, body[1:], lines[1:]


def _check_names(names: Sequence[str], schema: Schema) -> None:
  declared = [column.name for column in schema.columns]
  for name in names:
    if names.count(name) > 1:
      raise UserError(f"column {name!r} stands there twice")
    if name not in declared and name not in schema.ignored:
      raise UserError(
        f"column {name!r}: must be one of the schema's columns, or of those"
        " that it lists as ignored"
      )
  for name in declared:
    if name not in names:
      raise UserError(f"column {name!r} is missing: the schema declares it")


def _codes(
  column: Category, cells: Sequence[str], lines: Sequence[int]
) -> np.ndarray:
  places = {value: place for place, value in enumerate(column.values)}
  try:
    return np.array([places[cell] for cell in cells], np.int32)
  except KeyError as error:
    raise _refusal(column, cells, lines, cells.index(error.args[0])) from None


def _units(
  column: Numeric, cells: Sequence[str], lines: Sequence[int]
) -> np.ndarray:
  values = np.array([_number(cell) for cell in cells], np.float64)
  # Written so that NaN, which stands for what is no number, fails.
  inside = (values >= column.minimum) & (values <= column.maximum)
  if column.is_integer:
    inside &= values == np.floor(values)
  if not inside.all():
    raise _refusal(column, cells, lines, int(np.flatnonzero(~inside)[0]))
  return column.units(values).astype(np.float32)


def _number(cell: str) -> float:
  try:
    return float(cell)
  except ValueError:
    return np.nan


def _refusal(
  column: Category | Numeric,
  cells: Sequence[str],
  lines: Sequence[int],
  place: int,
) -> UserError:
  return UserError(
    f"line {lines[place]}, column {column.name}: {cells[place]!r}: must be"
    f" {column.allowed}"
  )


def _texts(column: Numeric, units: np.ndarray) -> list[str]:
  values = column.released(units)
  if column.is_integer:
    return [str(int(value)) for value in values]
  texts = []
  for value in values:
    text = f"{value:.{_DIGITS}g}"
    inside = column.minimum <= float(text) <= column.maximum
    texts.append(text if inside else repr(float(value)))
  return texts


def _stacked(
  columns: Sequence[np.ndarray], size: int, dtype: type
) -> np.ndarray:
  """[B, number of columns], also of none."""
  if not columns:
    return np.zeros((size, 0), dtype)
  return np.stack(columns, axis=1).astype(dtype)
