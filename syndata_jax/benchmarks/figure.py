"""The benchmark's result as one picture: a panel of bars for every case."""

import io
import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from syndata_jax.benchmarks.markdown import number
from syndata_jax.benchmarks.record import Case, Suite

# Okabe and Ito, "Color Universal Design" (2008).
_OURS, _PEER, _GREY = "#0072B2", "#E69F00", "#666666"
_COLUMNS = 3
_DPI = 160


def png(machine: dict[str, Any], suites: Sequence[Suite]) -> bytes:
  """`draw` as a PNG file."""
  image = io.BytesIO()
  draw(machine, suites).savefig(image, format="png")
  return image.getvalue()


def draw(machine: dict[str, Any], suites: Sequence[Suite]) -> Figure:
  """A panel for every case: a bar per contender, its range as a whisker.

  Bars start at zero and are the median round's rate; the number beside one
  is its rate and, for ours, how many times the best peer's it is.
  """
  # Every suite begins a line of its own.
  grid = [
    [(suite, case) for case in suite.cases[i : i + _COLUMNS]]
    for suite in suites
    for i in range(0, len(suite.cases), _COLUMNS)
  ]
  columns = max(map(len, grid))
  tallest = [max(len(case.rows) for _, case in line) for line in grid]
  heights = [rows + 2.6 for rows in tallest]
  figure = Figure(
    (5.2 * columns, 0.28 * sum(heights) + 0.5), dpi=_DPI, layout="constrained"
  )
  FigureCanvasAgg(figure)
  axes = figure.subplots(
    len(grid), columns, squeeze=False, height_ratios=heights
  )
  for place in axes.flat:
    place.set_axis_off()
  for line, rows, places in zip(grid, tallest, axes, strict=True):
    for (suite, case), place in zip(line, places, strict=False):
      place.set_axis_on()
      _panel(place, suite, case, rows)
  date = machine["date"].partition("T")[0]
  figure.suptitle(
    f"{machine['device']}, {date}: rate of the median round, whiskers from"
    " the slowest to the fastest",
    fontsize=10,
  )
  return figure


def _panel(axes: Axes, suite: Suite, case: Case, rows: int) -> None:
  top = max((r.rates[1] for r in case.rows if r.rates), default=1.0)
  for place, row in enumerate(case.rows):
    if row.rate is None or row.rates is None:
      axes.text(0, place, " not run", va="center", color=_GREY, fontsize=7.5)
      continue
    low, high = row.rates
    axes.barh(
      place,
      row.rate,
      xerr=[[row.rate - low], [high - row.rate]],
      color=_PEER if row.peer else _OURS,
      error_kw={"elinewidth": 1, "capsize": 2, "ecolor": "black"},
    )
    ratio = None if row.peer else case.ratio(row)
    label = number(row.rate) + (f"  ({ratio:.2f}x)" if ratio else "")
    axes.text(high + 0.02 * top, place, label, va="center", fontsize=7.5)
  names = [row.name for row in case.rows]
  axes.set_yticks(range(len(names)), names, fontsize=8)
  axes.set_ylim(rows - 0.4, -0.6)  # equal bars along a line
  axes.set_xlim(0, 1.3 * top)
  axes.set_xlabel(f"{suite.title}: {suite.unit}", fontsize=8)
  axes.set_title(textwrap.fill(case.name, 52), fontsize=9)
  axes.tick_params(axis="x", labelsize=8)
  axes.spines[["top", "right"]].set_visible(False)
