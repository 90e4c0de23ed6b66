"""What a person sees of an evolution: its progress, and samples over time.

All of it follows from what was released: noisy votes, and the populations that
were made of them.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw

from syndata_jax import files
from syndata_jax.reporting.figures import COLOURS, GREY, new_figure, save
from syndata_jax.reporting.sheet import draw_sheet

_MARGIN = 44  # pixels left of the sheet, for the names of its rows


class Progress(NamedTuple):
  """An evolution, iteration after iteration; all sequences have length T.

  Attributes:
    signal: votes above the threshold, noise included.
    noise: what noise alone would leave above it, were there no record.
    diversity: share of the first population that still has descendants.
    epsilon: spent so far, in nats; infinite without noise.
    budget: the epsilon that may be spent; infinite without noise.
    delta: of both.
  """

  signal: Sequence[float]
  noise: Sequence[float]
  diversity: Sequence[float]
  epsilon: Sequence[float]
  budget: float
  delta: float


def progress_figure(path: files.Path, progress: Progress, title: str) -> Figure:
  """Writes `draw_progress(progress, title)` as a PNG, all or nothing."""
  return save(path, draw_progress(progress, title))


def draw_progress(progress: Progress, title: str) -> Figure:
  """Three panels over the iterations: signal, diversity, epsilon.

  Where the signal lies on the line of noise alone, the votes say nothing: fewer
  candidates or fewer iterations would leave more. Diversity that falls towards
  zero is a collapse.

  Args:
    progress: of at least one iteration.
    title: above all.

  Returns:
    A figure with three axes: in the first the signal, then the noise; in the
    others one line each, and the budget where it is finite.
  """
  figure = new_figure(6.0, 6.4)
  signal, diversity, epsilon = figure.subplots(3, 1, sharex=True)
  iterations = range(1, len(progress.signal) + 1)
  signal.plot(
    iterations, progress.signal, "o-", color=COLOURS[0], label="noisy votes"
  )
  signal.plot(iterations, progress.noise, "--", color=GREY, label="noise alone")
  signal.set(ylabel="Votes above the threshold", ylim=(0, None))
  signal.legend(fontsize=8)
  percent = [100 * share for share in progress.diversity]
  diversity.plot(iterations, percent, "o-", color=COLOURS[2])
  diversity.set(ylabel="Ancestors that live on (%)", ylim=(0, None))
  _draw_epsilon(epsilon, progress)
  epsilon.set(xlabel="Iteration")
  epsilon.xaxis.set_major_locator(MaxNLocator(integer=True))
  for axes in (signal, diversity, epsilon):
    axes.grid(alpha=0.25, linewidth=0.6)
  figure.suptitle(title)
  return figure


def _draw_epsilon(axes: Axes, progress: Progress) -> None:
  """The spent epsilon, or that there is no guarantee."""
  axes.set(ylabel="Epsilon spent")
  if not all(map(math.isfinite, progress.epsilon)):
    axes.text(
      0.5,
      0.5,
      "no noise: no guarantee",
      transform=axes.transAxes,
      ha="center",
      color=GREY,
    )
    axes.set(yticks=[])
    return
  iterations = range(1, len(progress.epsilon) + 1)
  axes.plot(iterations, progress.epsilon, "o-", color=COLOURS[1])
  axes.set_ylim(0, None)
  if math.isfinite(progress.budget):
    axes.axhline(
      progress.budget,
      color=GREY,
      linestyle="--",
      label=f"budget {progress.budget:.4g} at delta {progress.delta:.2g}",
    )
    axes.legend(fontsize=8, loc="lower right")


def evolution_sheet(
  path: files.Path, samples: Sequence[np.ndarray], names: Sequence[str]
) -> None:
  """Writes `draw_evolution(samples, names)` as a PNG, all or nothing."""
  with files.write_stream(path) as stream:
    Image.fromarray(draw_evolution(samples, names)).save(stream, format="png")


def draw_evolution(
  samples: Sequence[np.ndarray], names: Sequence[str]
) -> np.ndarray:
  """One row of samples for each population, with its name left of it.

  Args:
    samples: of each population u8[n,H,W,C], C 1 or 3; at most twenty are
      shown, the first.
    names: of the populations, short ones.

  Returns:
    u8[height, width, 3].
  """
  rows = np.repeat(np.arange(len(samples)), [len(each) for each in samples])
  pixels = np.concatenate(list(samples)).astype(np.float32) / 255
  sheet = draw_sheet(pixels, rows)
  height, width, _ = sheet.shape
  whole = np.full((height, _MARGIN + width, 3), 255, np.uint8)
  whole[:, _MARGIN:] = sheet
  image = Image.fromarray(whole)
  write = ImageDraw.Draw(image)
  for row, name in enumerate(names):
    top = (row + 0.5) * height / len(names)
    write.text((4, top), name, fill=(0, 0, 0), anchor="lm")
  return np.asarray(image)
