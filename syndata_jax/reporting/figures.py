"""The two pictures of an audit: the ROC curve and the losses behind it."""

import io
import math
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from syndata_jax import files
from syndata_jax.attack.roc import HEADLINE_FPR, roc_curve
from syndata_jax.reporting.bands import Band
from syndata_jax.reporting.formats import level, percent

# (label, values f64[...], membership bool[...] of the same shape)
Labelled = tuple[str, np.ndarray, np.ndarray]


class Curve(NamedTuple):
  """What one ROC curve is drawn from; a high score means member."""

  label: str
  scores: np.ndarray  # f64[...]
  membership: np.ndarray  # bool[...]
  band: Band | None = None


# Okabe and Ito, "Color Universal Design" (2008): distinct for every common
# kind of colour blindness. The line styles keep them apart in grey, too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_STYLES = ("-", "--", "-.", (0, (1, 1)))
_MEMBER, _NONMEMBER = "#D55E00", "#0072B2"
GREY = "#666666"
DPI = 160

# In nats; smaller and larger losses are counted in the outermost bins.
_LOSS_LIMITS = (1e-6, 1e2)
# The first that gives enough bins: a short axis is seen more closely.
_BINS_PER_DECADE = (6, 12, 24)
_BINS = 30
# Of each group, on each side, may lie in the outermost bins.
_OUTLYING = 0.005


def roc_figure(
  path: files.Path, curves: Sequence[Curve | Labelled], title: str
) -> Figure:
  """Writes `draw_roc(curves, title)` to `path` as a PNG, all or nothing."""
  return save(path, draw_roc(curves, title))


def loss_figure(
  path: files.Path, populations: Sequence[Labelled], title: str
) -> Figure:
  """Writes `draw_losses(populations, title)` as a PNG, all or nothing."""
  return save(path, draw_losses(populations, title))


def draw_roc(curves: Sequence[Curve | Labelled], title: str) -> Figure:
  """ROC curves on logarithmic axes, where the low rates can be seen.

  Each curve is a step function: between two thresholds nothing is reached, so
  nothing is interpolated, and tied scores enter together. It begins at the
  smallest FPR that its non-members resolve, one false positive; that of the
  curve with the most of them is drawn as a line. A curve whose non-members
  resolve an FPR of 0.1% has its TPR there marked and in the legend.

  Args:
    curves: (label, scores f64[...], membership bool[...]); a high score means
      member. At most six stay distinct. A fourth entry is the band around it.
    title: a long one takes several lines.

  Returns:
    A figure whose only axes hold one line per curve, in order, with the data
    of `roc_curve` from one false positive on, then the chance diagonal.

  Source: Carlini et al., "Membership Inference Attacks From First Principles"
  (2022), section IV-A, for the logarithmic axes.
  """
  figure = new_figure(6.0, 4.8)
  axes = figure.subplots()
  drawn = [Curve(*each) for each in curves]
  for index, each in enumerate(drawn):
    _draw_curve(axes, index, each)
  counts = [_counts(each.membership) for each in drawn]
  bottom = _decade_below(max(members for members, _ in counts))
  most = max(nonmembers for _, nonmembers in counts)
  left = 0.5 / most
  chance = np.geomspace(1 / most, 1)
  axes.plot(chance, chance, ":", color=GREY, linewidth=1, label="guessing")
  heading = None
  if any(_resolves(each.membership) for each in drawn):
    heading = f"TPR at {level(HEADLINE_FPR)} FPR"
    axes.axvline(HEADLINE_FPR, color=GREY, linewidth=0.8, zorder=1)
  axes.set(
    xscale="log",
    yscale="log",
    xlim=(left, 1),
    ylim=(bottom, 1.25),
    xlabel="False positive rate",
    ylabel="True positive rate",
    title=_wrapped(title, figure),
  )
  _draw_resolution(axes, most)
  axes.grid(alpha=0.25, linewidth=0.6)
  axes.legend(loc="lower right", title=heading, fontsize=8, title_fontsize=8)
  return figure


def draw_losses(populations: Sequence[Labelled], title: str) -> Figure:
  """Histograms of the loss of members and non-members, a panel each.

  All bins have the same logarithmic width and all panels the same axes; a bar
  is the share of its own group, so areas can be compared. The axis spans what
  holds all but half a percent of every group on either side, and never more
  than 1e-6..100; what lies outside is counted in the outermost bins.

  Args:
    populations: (label, losses f64[...] in nats, membership bool[...]).
    title: a long one takes several lines.

  Returns:
    A figure with one axes per population; in each, the filled steps of the
    non-members, then of the members.

  Source: the idea of figure 4 of Zhao and Zhang, "Does Training with
  Synthetic Data Truly Protect Privacy?" (2025).
  """
  figure = new_figure(1.0 + 4.2 * len(populations), 3.6)
  panels = figure.subplots(
    1, len(populations), sharex=True, sharey=True, squeeze=False
  )[0]
  edges = _loss_edges(populations)
  for axes, (label, losses, membership) in zip(
    panels, populations, strict=True
  ):
    _draw_histograms(axes, edges, losses, membership)
    axes.set_title(label, fontsize=10)
    axes.set(xlabel="Cross-entropy loss (nats)", xscale="log")
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)
    _label_decades(axes, edges)
  panels[0].set_xlim(*edges[[0, -1]])
  panels[0].set_ylabel("Share of the group (%)")
  handles, labels = panels[0].get_legend_handles_labels()
  # Below the panels: there is no place in them that a bar may not need.
  figure.legend(
    handles, labels, loc="outside lower center", ncols=2, fontsize=8
  )
  figure.suptitle(_wrapped(title, figure))
  return figure


def _draw_curve(axes: Axes, index: int, curve: Curve) -> None:
  """Adds one ROC curve, in the colour and the line style of its index."""
  points = roc_curve(curve.scores, curve.membership)
  colour = COLOURS[index % len(COLOURS)]
  label = curve.label
  if _resolves(curve.membership):
    tpr = float(points.tpr_at(HEADLINE_FPR))
    label = f"{label}: {percent(tpr)}"
    axes.scatter(
      HEADLINE_FPR, tpr, s=22, color=colour, edgecolors="white", zorder=4
    )
  if curve.band is not None:
    axes.fill_between(
      *curve.band, step="post", color=colour, alpha=0.16, linewidth=0, zorder=2
    )
  smallest = 1 / _counts(curve.membership)[1]
  shown = points.fpr > smallest
  # Where TPR is 0 the logarithmic scale clips the step to the edge.
  axes.plot(
    np.append(smallest, points.fpr[shown]),
    np.append(points.tpr_at(smallest), points.tpr[shown]),
    drawstyle="steps-post",
    color=colour,
    linestyle=_STYLES[index % len(_STYLES)],
    linewidth=1.8,
    label=label,
    zorder=3,
  )


def _draw_resolution(axes: Axes, nonmembers: int) -> None:
  """Marks the FPR of a single false positive, left of which nothing is."""
  axes.axvline(
    1 / nonmembers, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1
  )
  axes.annotate(
    f"one false positive in {nonmembers:,}",
    (1 / nonmembers, 0.02),
    xycoords=axes.get_xaxis_transform(),
    xytext=(-3, 0),
    textcoords="offset points",
    rotation=90,
    ha="right",
    va="bottom",
    fontsize=7,
    color=GREY,
  )


def _draw_histograms(
  axes: Axes, edges: np.ndarray, losses: np.ndarray, membership: np.ndarray
) -> None:
  """Adds the steps of both groups.

  Args:
    axes: to draw in.
    edges: f64[B + 1], of the bins.
    losses: f64[...] in nats.
    membership: bool[...] of the same shape.
  """
  members = np.asarray(membership, bool)
  losses = np.clip(losses, edges[0], edges[-1])
  groups = [
    ("non-members", losses[~members], _NONMEMBER),
    ("members", losses[members], _MEMBER),
  ]
  for label, values, colour in groups:
    share = 100 * np.histogram(values, edges)[0] / max(values.size, 1)
    axes.stairs(
      share,
      edges,
      fill=True,
      facecolor=to_rgba(colour, 0.35),
      edgecolor=colour,
      linewidth=1.2,
      label=label,
    )


def _loss_edges(populations: Sequence[Labelled]) -> np.ndarray:
  """Powers of one ratio around what the groups hold, f64[B + 1]."""
  held = []
  for _, losses, membership in populations:
    members = np.asarray(membership, bool)
    for group in (losses[members], losses[~members]):
      if group.size:
        held += np.quantile(group, [_OUTLYING, 1 - _OUTLYING]).tolist()
  ends = np.log10(np.clip([min(held), max(held)], *_LOSS_LIMITS))
  for density in _BINS_PER_DECADE:
    # A power of ten is not to be missed by its rounding.
    first = math.floor(density * ends[0] + 1e-9)
    last = max(math.ceil(density * ends[1] - 1e-9), first + 1)
    if last - first >= _BINS:
      break
  return 10.0 ** (np.arange(first, last + 1) / density)


def _label_decades(axes: Axes, edges: np.ndarray) -> None:
  """Writes 0.001, 0.01 and so on; of a short axis also twice and five times."""
  decades = math.log10(edges[-1] / edges[0])
  subs = (1.0,) if decades > 3 else (1.0, 2.0, 5.0)
  plain = FuncFormatter(lambda loss, _: f"{loss:.6f}".rstrip("0").rstrip("."))
  power = FuncFormatter(lambda loss, _: f"$10^{{{round(math.log10(loss))}}}$")
  axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=12))
  axes.xaxis.set_major_formatter(power if edges[0] < 1e-4 else plain)
  axes.xaxis.set_minor_formatter(NullFormatter())


def _wrapped(title: str, figure: Figure) -> str:
  """In lines that the figure is wide enough for; people's own may be long."""
  return textwrap.fill(title, int(9.5 * figure.get_figwidth()))


def _counts(membership: np.ndarray) -> tuple[int, int]:
  """(members, non-members)."""
  members = int(np.sum(membership))
  return members, np.size(membership) - members


def _resolves(membership: np.ndarray) -> bool:
  """Whether one false positive is not above the FPR that is quoted."""
  return 1 / _counts(membership)[1] <= HEADLINE_FPR


def _decade_below(count: int) -> float:
  """1 / count rounded down to a power of ten; never more than 0.1."""
  return 10.0 ** -max(1, math.ceil(math.log10(count)))


class _Picture(Figure):
  """A figure that notebooks show, whether or not pyplot has been imported."""

  def _repr_png_(self) -> bytes:
    stream = io.BytesIO()
    self.savefig(stream, format="png")
    return stream.getvalue()


def new_figure(
  width: float, height: float, layout: Any = "constrained"
) -> Figure:
  """A figure of so many inches, which needs no display."""
  figure = _Picture((width, height), dpi=DPI, layout=layout)
  FigureCanvasAgg(figure)
  return figure


def save(
  path: files.Path, figure: Figure, permissions: int = files.COMMON
) -> Figure:
  """Writes the figure as a PNG, all or nothing; see `files.write_stream`."""
  with files.write_stream(path, permissions) as stream:
    figure.savefig(stream, format="png")
  return figure
