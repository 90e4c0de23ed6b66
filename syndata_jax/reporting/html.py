"""The report in a notebook: a piece of HTML that needs nothing else.

No script, nothing to load, no images: those of the data are private. Colours
are those of the notebook, light or dark.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from syndata_jax.reporting import exposed
from syndata_jax.reporting.facts import setting
from syndata_jax.reporting.guarantee import (
  Guarantee,
  broken,
  epsilon_table,
  is_broken,
)
from syndata_jax.reporting.images import copies_table
from syndata_jax.reporting.table import (
  cautions,
  leakage_table,
  utility_and_cost,
  verdict_sentence,
)

_MOST_EXPOSED = 5
_LINE = "1px solid rgba(128, 128, 128, 0.5)"
_WARNING = "border-left: 4px solid #d55e00; padding-left: 0.6em"
_TABLE = "border-collapse: collapse; margin: 0.8em 0"


def render_html(
  attack: Mapping[str, Any],
  training: Mapping[str, Any] | None,
  guarantee: Guarantee | None,
  exposure: Mapping[str, np.ndarray],
  given: Mapping[str, Any] | None = None,
  copies: Mapping[str, Any] | None = None,
) -> str:
  """The report of one run.

  Args:
    attack: as in `render`.
    training: as in `render`.
    guarantee: as in `render`.
    exposure: columns of equal length by name, the most exposed canary first:
      see `Report.per_canary`.
    given: as in `render`.
    copies: as in `render`.
  """
  parts = [*_verdict(attack, training, guarantee, given, copies)]
  parts.append(_of_rich(leakage_table(attack, training)))
  bound, white_box = attack["epsilon_bound"], attack.get("white_box_bound")
  parts.append(_of_rich(epsilon_table(bound, guarantee, white_box)))
  if copies is not None:
    parts.append(_of_rich(copies_table(copies)))
  facts = setting(attack["headline"], training, given)
  if guarantee is not None:
    facts["Guarantee"] = guarantee.lines
  if training is not None:
    facts |= utility_and_cost(training)
  rows = [(name, "\n".join(lines)) for name, lines in facts.items()]
  parts.append(_table([], rows, ["left", "left"]))
  parts.append(_most_exposed(exposure))
  return f"<div>{''.join(parts)}</div>"


def _verdict(
  attack: Mapping[str, Any],
  training: Mapping[str, Any] | None,
  guarantee: Guarantee | None,
  given: Mapping[str, Any] | None,
  copies: Mapping[str, Any] | None,
) -> Iterator[str]:
  """The sentence and its warnings; the arguments are those of `render`."""
  if given is not None and given["title"] is not None:
    yield f"<p>{escape(given['title'])}</p>"
  yield f"<p><b>{escape(verdict_sentence(attack, training))}</b></p>"
  bound, white_box = attack["epsilon_bound"], attack.get("white_box_bound")
  if guarantee is not None and is_broken(bound, guarantee, white_box):
    text = escape(broken(bound, guarantee, white_box))
    yield f'<p style="{_WARNING}"><b>{text}</b></p>'
  for note in cautions(attack, training, given, copies):
    yield f'<p style="{_WARNING}">Note: {escape(note)}</p>'


def _most_exposed(exposure: Mapping[str, np.ndarray]) -> str:
  """The first canaries of `Report.per_canary`."""
  name, key = "Row", "row"
  if "index" in exposure:
    name, key = "Training image", "index"
  lines = [
    {key: column[place] for key, column in exposure.items()}
    for place in range(min(_MOST_EXPOSED, len(exposure[key])))
  ]
  columns = {name: [str(line[key]) for line in lines]}
  columns["label"] = [str(line["label"]) for line in lines]
  if "label_true" in exposure:
    columns["true label"] = [
      exposed.label(line["label_true"]) for line in lines
    ]
  columns |= {
    "recognised\nat 0.1% FPR": [
      exposed.share(line["recognised"]) for line in lines
    ],
    "95% interval": [exposed.interval(line) for line in lines],
    "at 1% FPR": [
      exposed.share(line["recognised_at_1_percent"]) for line in lines
    ],
    "mean score of\nmodels with it": [
      exposed.score(line["score_in"]) for line in lines
    ],
    "models\nwithout it": [exposed.score(line["score_out"]) for line in lines],
  }
  rows = list(zip(*columns.values(), strict=True))
  text = f"The {len(rows)} most exposed canaries, by the models with them:"
  alignment = ["left", *["right"] * (len(columns) - 1)]
  return f"<p>{text}</p>{_table(list(columns), rows, alignment)}"


def _of_rich(table: Table) -> str:
  """The table that the terminal would show."""
  rows = zip(*(column.cells for column in table.columns), strict=True)
  html = _table(
    [_plain(column.header) for column in table.columns],
    [[_plain(cell) for cell in row] for row in rows],
    [column.justify for column in table.columns],
  )
  return html + (
    f"<p>{escape(str(table.caption))}</p>" if table.caption else ""
  )


def _plain(cell: Any) -> str:
  return cell.plain if isinstance(cell, Text) else str(cell)


def _table(
  headers: Sequence[str],
  rows: Iterable[Sequence[str]],
  alignment: Sequence[str],
) -> str:
  """Text in rows and columns; line breaks stay.

  Args:
    headers: one per column, or none at all.
    rows: of as many cells.
    alignment: of each column, `left` or `right`.
  """
  head = ""
  if headers:
    head = f"<thead>{_row('th', headers, alignment)}</thead>"
  body = "".join(_row("td", row, alignment) for row in rows)
  return f'<table style="{_TABLE}">{head}<tbody>{body}</tbody></table>'


def _row(tag: str, cells: Sequence[str], alignment: Sequence[str]) -> str:
  line = f"; border-bottom: {_LINE}" if tag == "th" else ""
  style = f"padding: 0.2em 0.8em; white-space: pre-wrap{line}"
  return "<tr>{}</tr>".format(
    "".join(
      f'<{tag} style="text-align: {side}; {style}">{escape(cell)}</{tag}>'
      for cell, side in zip(cells, alignment, strict=True)
    )
  )
