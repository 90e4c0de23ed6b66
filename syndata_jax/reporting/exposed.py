"""Who leaks: one line for each audited example, the most exposed first.

Which images are recognised is as private as the images: it is written for their
owner alone, in files that nobody else may read, and never into `report.txt`.
"""

import csv
import io
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from syndata_jax import files
from syndata_jax.attack import Exposure, exposure, released
from syndata_jax.reporting.formats import percent
from syndata_jax.reporting.variants import natural_width

# Columns of the CSV by those of `columns`.
_CSV = {
  "index": "index",
  "kind": "kind",
  "label_given": "label",
  "label_true": "label_true",
  "models_in": "models_in",
  "models_out": "models_out",
  "score_in": "score_in",
  "score_out": "score_out",
  "recognised": "recognised",
  "recognised_low": "recognised_low",
  "recognised_high": "recognised_high",
  "recognised_at_1_percent": "recognised_at_1_percent",
}
_MOST = 10


class Examples(NamedTuple):
  """What the owner of the data knows of the audited examples of one kind."""

  rows: np.ndarray  # i64[Q], of the training images
  kind: str
  # i32[Q]; -1 where the picture is of no class of the data. None: not known.
  label_true: np.ndarray | None = None
  images: np.ndarray | None = None  # u8[Q,H,W,C], as models were shown them


def columns(
  exposure: Exposure, examples: Examples | None
) -> dict[str, np.ndarray]:
  """The exposure, and what is known of each example, by name.

  Args:
    exposure: of Q examples, in its order.
    examples: of the same, in the order of the predictions; None where they are
      not known, as with logits from elsewhere.
  """
  known: dict[str, np.ndarray] = {}
  if examples is not None:
    row = exposure.row
    known = {"index": examples.rows[row]}
    known["kind"] = np.full(len(row), examples.kind)
    if examples.label_true is not None:
      known["label_true"] = examples.label_true[row]
  return known | exposure._asdict()


def through_images(
  space: str, closeness: np.ndarray, membership: np.ndarray, row: np.ndarray
) -> dict[str, np.ndarray]:
  """How exposed each example is by released images alone.

  Args:
    space: in which distances were taken.
    closeness: f32[Q,M], minus the distance.
    membership: bool[Q,M].
    row: i64[Q], the order of the examples.

  Returns:
    By name: the share of models that give it away at an FPR of 0.1%, and its
    mean distance to the images of those that own it and of the others.
  """
  by_images = exposure(released.as_predictions(closeness, membership))
  place = np.argsort(by_images.row)[row]
  return {
    f"{space}_recognised": by_images.recognised[place],
    f"{space}_distance_in": -by_images.score_in[place],
    f"{space}_distance_out": -by_images.score_out[place],
  }


def write_csv(path: files.Path, table: Mapping[str, np.ndarray]) -> None:
  """Writes `columns` as a CSV that its owner alone may read, all or nothing.

  Empty is what is not known. Without known rows `index` is that of the file of
  predictions.
  """
  stream = io.StringIO()
  writer = csv.writer(stream, lineterminator="\n")
  known = {"index": table["row"], **table}
  images = [
    name
    for name in table
    if name.endswith(("_recognised", "_distance_in", "_distance_out"))
  ]
  writer.writerow([*_CSV, *images])
  for place in range(len(table["row"])):
    writer.writerow(
      _cell(known[name][place]) if name in known else ""
      for name in (*_CSV.values(), *images)
    )
  files.write(path, stream.getvalue(), files.PRIVATE)


def most_exposed(
  table: Mapping[str, np.ndarray], console: Console
) -> RenderableType:
  """The first ten of `columns`, for the terminal.

  Args:
    table: of the canaries.
    console: where to; 60 columns are enough.
  """
  shown = Table(box=box.SIMPLE_HEAD, show_edge=False, collapse_padding=True)
  known = "index" in table
  headers = ["image" if known else "row", "label\ngiven"]
  if "label_true" in table:
    headers.append("\ntrue")
  headers += ["found at\n0.1% FPR", "95%\ninterval"]
  headers += ["score\nin", "\nout"]
  for header in headers:
    shown.add_column(header, justify="right", no_wrap=True)
  count = min(_MOST, len(table["row"]))
  for place in range(count):
    at = {name: column[place] for name, column in table.items()}
    cells = [str(at["index" if known else "row"]), str(at["label"])]
    if "label_true" in at:
      cells.append(label(at["label_true"]))
    cells += [found(at), interval(at)]
    cells += [score(at["score_in"]), score(at["score_out"])]
    shown.add_row(*cells)
  shown.width = natural_width(shown, console)
  heading = (
    f"The {count} most exposed canaries, for the owner of the data alone"
  )
  note = (
    "Private, as canaries.csv, average.csv and canaries.png are: none of this"
    " is in report.txt."
  )
  return Group(
    Padding(Text(heading, style="bold"), 1),
    shown,
    Padding(Text(note, style="dim"), 1),
  )


def label(true: int) -> str:
  """A true label; the picture of some canaries is of no class."""
  return "-" if true < 0 else str(true)


def share(fraction: float) -> str:
  """A share of models; there may be none."""
  return "-" if math.isnan(fraction) else percent(float(fraction))


def found(at: Mapping[str, float]) -> str:
  """In how many of its models it is recognised, of one line of `columns`."""
  models = at["models_in"]
  return f"{round(at['recognised'] * models)} of {models}" if models else "-"


def score(value: float) -> str:
  """A mean score; there may be no model."""
  return "-" if math.isnan(value) else f"{value:.2f}"


def interval(at: Mapping[str, float]) -> str:
  """That of `recognised`, in whole percents, of one line of `columns`."""
  if math.isnan(at["recognised_low"]):
    return "-"
  low, high = at["recognised_low"], at["recognised_high"]
  return f"{100 * low:.0f} to {100 * high:.0f}%"


def _cell(value: np.generic) -> str:
  """A number in six digits; empty of NaN and of a label that is none."""
  if isinstance(value, np.floating):
    return "" if np.isnan(value) else f"{value:.6g}"
  return "" if value == -1 else str(value)
