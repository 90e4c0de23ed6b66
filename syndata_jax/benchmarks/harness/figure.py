"""The benchmark's result as one picture, a panel for every case and curve."""

import io
import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from syndata_jax.benchmarks.harness.record import Case, Check, Suite
from syndata_jax.reporting.figures import COLOURS, DPI, GREY
from syndata_jax.reporting.formats import significant

_OURS, _DISAGREES, _PEER = COLOURS[0], COLOURS[1], COLOURS[4]
_LINES = tuple(colour for colour in COLOURS if colour != _PEER)
_COLUMNS = 3
_CURVE_ROWS = 8  # a curve is as high as a panel of so many bars


class _Panel(NamedTuple):
  rows: int  # its height, in bars
  draw: Callable[[Axes, int], None]  # of a line that many bars high


def png(machine: dict[str, Any], suites: Sequence[Suite]) -> bytes:
  """`draw` as a PNG file."""
  image = io.BytesIO()
  draw(machine, suites).savefig(image, format="png")
  return image.getvalue()


def draw(machine: dict[str, Any], suites: Sequence[Suite]) -> Figure:
  """A panel for every case, and one for every curve over models or devices.

  Bars start at zero and are the median round's rate; the number beside one
  is its rate and, for ours, how many times the best peer's it is.
  """
  # Every suite begins a line of its own.
  grid = [
    panels[i : i + _COLUMNS]
    for panels in map(_panels, suites)
    for i in range(0, len(panels), _COLUMNS)
  ]
  columns = max(map(len, grid))
  tallest = [max(panel.rows for panel in line) for line in grid]
  heights = [rows + 2.6 for rows in tallest]
  figure = Figure(
    (5.6 * columns, 0.28 * sum(heights) + 0.5), dpi=DPI, layout="constrained"
  )
  FigureCanvasAgg(figure)
  axes = figure.subplots(
    len(grid), columns, squeeze=False, height_ratios=heights
  )
  for place in axes.flat:
    place.set_axis_off()
  for line, rows, places in zip(grid, tallest, axes, strict=True):
    for panel, place in zip(line, places, strict=False):
      place.set_axis_on()
      panel.draw(place, rows)
      place.tick_params(labelsize=8)
      place.spines[["top", "right"]].set_visible(False)
  date = machine["date"].partition("T")[0]
  title = f"{machine['device']}, {date}"
  if any(suite.timed for suite in suites):
    title += ": rate of the median round, whiskers from slowest to fastest"
  # As wide as one panel, a title wants a line for every part.
  figure.suptitle(textwrap.fill(title, 60 * columns), fontsize=10)
  return figure


def _panels(suite: Suite) -> list[_Panel]:
  panels = [
    _Panel(len(case.rows), partial(_bars, suite, case))
    if isinstance(case, Case)
    else _Panel(len(case.rows), partial(_differences, suite, case))
    for case in suite.cases
  ]
  for axis in ("models", "devices"):
    curves = {
      case.name: points
      for case in suite.timed
      if case.axis == axis and len(points := _points(case)) > 1
    }
    if curves:
      draw_curves = partial(_curves, suite, axis, curves)
      panels.append(_Panel(_CURVE_ROWS, draw_curves))
  return panels


def _points(case: Case) -> list[tuple[int, float]]:
  return sorted((r.scale, r.rate) for r in case.rows if r.scale and r.rate)


def _curves(
  suite: Suite,
  axis: str,
  curves: dict[str, list[tuple[int, float]]],
  axes: Axes,
  rows: int,
) -> None:
  """Rates of ours, each relative to its first point.

  Args:
    suite: names the unit.
    axis: "models" or "devices".
    curves: by case, its points (scale, rate), at least two.
    axes: to draw on.
    rows: not needed, a curve is as high as its line.
  """
  del rows
  for colour, (name, points) in zip(
    _LINES * len(curves), curves.items(), strict=False
  ):
    scales = [scale for scale, _ in points]
    rates = [rate / points[0][1] for _, rate in points]
    label = textwrap.fill(name, 44)
    axes.plot(scales, rates, "o-", color=colour, label=label, markersize=4)
  ticks = sorted({scale for p in curves.values() for scale, _ in p})
  if axis == "devices":
    axes.plot(ticks, ticks, ":", color=GREY, label="perfect", zorder=0)
  axes.set_xscale("log", base=2)
  axes.xaxis.set_major_locator(FixedLocator(ticks))
  axes.xaxis.set_minor_locator(NullLocator())
  axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
  axes.set_ylim(0, 1.15 * axes.dataLim.ymax)
  axes.set_xlabel(axis, fontsize=8)
  axes.set_ylabel(f"{suite.unit}, relative to {axis} = {ticks[0]}", fontsize=8)
  axes.set_title(f"syndata_jax: scaling over {axis}", fontsize=9)
  axes.legend(fontsize=7, frameon=False, loc="lower right")


def _differences(suite: Suite, case: Check, axes: Axes, rows: int) -> None:
  """Differences on a logarithmic axis, the tolerance as a line.

  Args:
    suite: names the unit.
    case: whose rows are drawn.
    axes: to draw on.
    rows: height of the line of panels, in bars.
  """
  floor = case.tolerance * 1e-8  # what has no difference at all is there
  for place, row in enumerate(case.rows):
    if row.difference is None:
      axes.text(floor, place, " not run", va="center", color=GREY, fontsize=7)
      continue
    colour = _OURS if case.agrees(row) else _DISAGREES
    axes.plot(max(row.difference, floor), place, "o", color=colour)
  axes.axvline(case.tolerance, color=GREY, linestyle=":")
  axes.set_xscale("log")
  axes.set_xlim(floor / 2, 10)
  _names(axes, case, rows)
  axes.set_xlabel(f"{suite.title}: {suite.unit}, dotted: allowed", fontsize=8)


def _names(axes: Axes, case: Case | Check, rows: int) -> None:
  names = [row.name for row in case.rows]
  axes.set_yticks(range(len(names)), names)
  axes.set_ylim(rows - 0.4, -0.6)  # equal bars along a line
  axes.set_title(textwrap.fill(case.name, 52), fontsize=9)


def _bars(suite: Suite, case: Case, axes: Axes, rows: int) -> None:
  """Median rates as bars, whiskers from the slowest to the fastest round.

  Args:
    suite: names the unit.
    case: whose rows are drawn.
    axes: to draw on.
    rows: height of the line of panels, in bars.
  """
  top = max((r.rates[1] for r in case.rows if r.rates), default=1.0)
  for place, row in enumerate(case.rows):
    if row.rate is None or row.rates is None:
      axes.text(0, place, " not run", va="center", color=GREY, fontsize=7.5)
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
    label = significant(row.rate) + (f"  ({ratio:.2f}x)" if ratio else "")
    axes.text(high + 0.02 * top, place, label, va="center", fontsize=7.5)
  _names(axes, case, rows)
  axes.set_xlim(0, 1.3 * top)
  axes.set_xlabel(f"{suite.title}: {suite.unit}", fontsize=8)
