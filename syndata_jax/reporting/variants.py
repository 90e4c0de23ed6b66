"""One row per variant of the attack, with as many columns as fit."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from syndata_jax.reporting.formats import counted, level, percent

Record = Mapping[str, Any]

_ATTACKS = {
  "lira": "LiRA",
  "rmia": "RMIA",
  "base": "BASE",
  "lira_offline": "LiRA offline",
  "rmia_offline": "RMIA offline",
}
_VARIANCES = {"per_example": "per example"}

# Columns above this importance are never left out.
_INDISPENSABLE = 8
_IMPORTANCE = {"0.001": 9, "0.01": 7, "0.005": 5, "0.05": 4, "0.002": 2}


def describe(record: Record) -> str:
  """One variant in words: attack, score, variance if it has one, views."""
  words = [_attack(record), f"{record['score']} score"]
  if record["variance"] is not None:
    words.append(f"{_variance(record).replace(' ', '-')} variance")
  return ", ".join([*words, counted(record["views"], "view")])


def variants_table(records: Sequence[Record], console: Console) -> Table:
  """All variants of one population; the first, the headline, in bold.

  Args:
    records: the `attacks` of one population of `attack.json`.
    console: where the least important columns are left out until the rest
      fits; what names a variant and its TPR at 0.1% FPR always stay.
  """
  levels = [_tpr_column(key) for key in records[0]["tpr_at_fpr"]]
  columns = [*_NAMES, *levels, *_SUMMARIES]
  while True:
    table = _grid(columns, records)
    least = min(columns, key=lambda column: column.importance)
    fits = natural_width(table, console) <= console.width
    if fits or least.importance > _INDISPENSABLE:
      return table
    columns.remove(least)


def natural_width(table: Table, console: Console) -> int:
  """Columns of text that a table takes when nothing squeezes it."""
  unbounded = console.options.update(width=10_000)
  return console.measure(table, options=unbounded).maximum


class _Column(NamedTuple):
  header: str
  importance: int
  cell: Callable[[Record], str]
  justify: JustifyMethod = "right"


def _attack(record: Record) -> str:
  name: str = record["attack"]
  return _ATTACKS.get(name, name)


def _variance(record: Record) -> str:
  name: str | None = record["variance"]
  return "-" if name is None else _VARIANCES.get(name, name)


def _tpr_column(key: str) -> _Column:
  return _Column(
    f"TPR at\n{level(float(key))}",
    _IMPORTANCE.get(key, 1),
    lambda record: percent(record["tpr_at_fpr"][key]["value"]),
  )


_NAMES = [
  _Column("attack", 9, _attack, "left"),
  _Column("score", 9, lambda record: record["score"], "left"),
  _Column("variance", 9, _variance, "left"),
  _Column("views", 9, lambda record: str(record["views"])),
]
_SUMMARIES = [
  _Column("AUC", 6, lambda record: f"{record['auc']['value']:.3f}"),
  _Column(
    "balanced\naccuracy",
    3,
    lambda record: percent(record["balanced_accuracy"]["value"]),
  ),
]


def _grid(columns: Sequence[_Column], records: Sequence[Record]) -> Table:
  table = Table(box=box.SIMPLE_HEAD, show_edge=False, collapse_padding=True)
  for column in columns:
    table.add_column(column.header, justify=column.justify, no_wrap=True)
  for index, record in enumerate(records):
    cells = [Text(column.cell(record)) for column in columns]
    table.add_row(*cells, style="" if index else "bold")
  return table
