"""The two pictures of an audit: the ROC curve and the losses behind it."""

import io
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from syndata_jax import files
from syndata_jax.attack.roc import HEADLINE_FPR, roc_curve
from syndata_jax.reporting.formats import level, percent

# (label, values f64[...], membership bool[...] of the same shape)
Labelled = tuple[str, np.ndarray, np.ndarray]

# Okabe and Ito, "Color Universal Design" (2008): distinct for every common
# kind of colour blindness. The line styles keep them apart in grey, too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_STYLES = ("-", "--", "-.", (0, (1, 1)))
_MEMBER, _NONMEMBER = "#D55E00", "#0072B2"
GREY = "#666666"
DPI = 160

# Fixed, so that the pictures of two runs can be laid side by side.
_LOSS_RANGE = (-6, 2)
_BINS_PER_DECADE = 6


def roc_figure(
  path: files.Path, curves: Sequence[Labelled], title: str
) -> Figure:
  """Writes `draw_roc(curves, title)` to `path` as a PNG, all or nothing."""
  return _written(path, draw_roc(curves, title))


def loss_figure(
  path: files.Path, populations: Sequence[Labelled], title: str
) -> Figure:
  """Writes `draw_losses(populations, title)` as a PNG, all or nothing."""
  return _written(path, draw_losses(populations, title))


def draw_roc(curves: Sequence[Labelled], title: str) -> Figure:
  """ROC curves on logarithmic axes, where the low rates can be seen.

  Each curve is a step function: between two thresholds nothing is reached, so
  nothing is interpolated, and tied scores enter together. A curve whose
  non-members resolve an FPR of 0.1% has its TPR there marked and in the
  legend.

  Args:
    curves: (label, scores f64[...], membership bool[...]); a high score means
      member. At most six stay distinct.
    title: one short line.

  Returns:
    A figure whose only axes hold one line per curve, in order, with the data
    of `roc_curve`, then the chance diagonal.

  Source: Carlini et al., "Membership Inference Attacks From First Principles"
  (2022), section IV-A, for the logarithmic axes.
  """
  figure = _figure(6.0, 4.8)
  axes = figure.subplots()
  for index, (label, scores, membership) in enumerate(curves):
    _draw_curve(axes, index, label, scores, membership)
  counts = [_counts(membership) for _, _, membership in curves]
  bottom = _decade_below(max(members for members, _ in counts))
  left = _decade_below(max(nonmembers for _, nonmembers in counts))
  chance = np.geomspace(min(left, bottom), 1)
  axes.plot(chance, chance, ":", color=GREY, linewidth=1, label="guessing")
  heading = None
  if any(_resolves(membership) for _, _, membership in curves):
    heading = f"TPR at {level(HEADLINE_FPR)} FPR"
    axes.axvline(HEADLINE_FPR, color=GREY, linewidth=0.8, zorder=1)
  axes.set(
    xscale="log",
    yscale="log",
    xlim=(left, 1),
    ylim=(bottom, 1.25),
    xlabel="False positive rate",
    ylabel="True positive rate",
    title=title,
  )
  axes.grid(alpha=0.25, linewidth=0.6)
  axes.legend(loc="lower right", title=heading, fontsize=8, title_fontsize=8)
  return figure


def draw_losses(populations: Sequence[Labelled], title: str) -> Figure:
  """Histograms of the loss of members and non-members, a panel each.

  All bins have the same logarithmic width and all panels the same axes; a bar
  is the share of its own group, so areas can be compared. Losses outside
  1e-6..100 are counted in the outermost bins.

  Args:
    populations: (label, losses f64[...] in nats, membership bool[...]).
    title: one short line.

  Returns:
    A figure with one axes per population; in each, the filled steps of the
    non-members, then of the members.

  Source: the idea of figure 4 of Zhao and Zhang, "Does Training with
  Synthetic Data Truly Protect Privacy?" (2025).
  """
  figure = _figure(1.0 + 4.2 * len(populations), 3.6)
  panels = figure.subplots(
    1, len(populations), sharex=True, sharey=True, squeeze=False
  )[0]
  for axes, (label, losses, membership) in zip(
    panels, populations, strict=True
  ):
    _draw_histograms(axes, losses, membership)
    axes.set_title(label, fontsize=10)
    axes.set(xlabel="Cross-entropy loss (nats)", xscale="log")
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)
  panels[0].set_xlim(*_loss_edges()[[0, -1]])
  panels[0].set_ylabel("Share of the group (%)")
  panels[0].legend(loc="upper left", fontsize=8)
  figure.suptitle(title)
  return figure


def _draw_curve(
  axes: Axes,
  index: int,
  label: str,
  scores: np.ndarray,
  membership: np.ndarray,
) -> None:
  """Adds one ROC curve.

  Args:
    axes: to draw in.
    index: of the curve: its colour and line style.
    label: for the legend.
    scores: f64[...]; high means member.
    membership: bool[...] of the same shape.
  """
  curve = roc_curve(scores, membership)
  colour = COLOURS[index % len(COLOURS)]
  if _resolves(membership):
    tpr = float(curve.tpr_at(HEADLINE_FPR))
    label = f"{label}: {percent(tpr)}"
    axes.scatter(
      HEADLINE_FPR, tpr, s=22, color=colour, edgecolors="white", zorder=4
    )
  # Where FPR or TPR is 0 the logarithmic scale clips the step to the edge.
  axes.plot(
    curve.fpr,
    curve.tpr,
    drawstyle="steps-post",
    color=colour,
    linestyle=_STYLES[index % len(_STYLES)],
    linewidth=1.8,
    label=label,
    zorder=3,
  )


def _draw_histograms(
  axes: Axes, losses: np.ndarray, membership: np.ndarray
) -> None:
  edges = _loss_edges()
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


def _loss_edges() -> np.ndarray:
  low, high = _LOSS_RANGE
  return np.logspace(low, high, (high - low) * _BINS_PER_DECADE + 1)


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


def _figure(width: float, height: float) -> Figure:
  figure = _Picture((width, height), dpi=DPI, layout="constrained")
  FigureCanvasAgg(figure)
  return figure


def _written(path: files.Path, figure: Figure) -> Figure:
  with files.write_stream(path) as stream:
    figure.savefig(stream, format="png")
  return figure
