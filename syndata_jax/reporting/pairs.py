"""A picture of the closest pairs: a synthetic image and its private neighbour.

It shows at a glance whether private images come back, and is private itself.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from syndata_jax import files
from syndata_jax.reporting.figures import new_figure, save

_MOST = 20  # of each space
_COLUMNS = 10
_SIDE = 0.44  # of a picture, the distance of two pairs being 1
_TALL = 0.75  # of a line, with its captions
_HEADING = 0.3
_INCHES = 1.1  # between two pairs
_MARGIN = 0.12
_HEAD = 0.45


class Pairs(NamedTuple):
  """The closest pairs in one space, the closest first; each private one once.

  What is in the files of a run, and known to the owner of the data alone.
  """

  synthetic: np.ndarray  # u8[P,H,W,C]
  private: np.ndarray  # u8[P,H,W,C]
  distance: np.ndarray  # f32[P], in the space
  threshold: np.ndarray  # f32[P], below it lie near-copies; mean over models
  model: np.ndarray  # i32[P]
  row: np.ndarray  # i32[P], of the private images


def pairs_sheet(path: files.Path, pairs: Mapping[str, Pairs]) -> Figure:
  """Writes `draw_pairs` as a PNG that its owner alone may read."""
  return save(path, draw_pairs(pairs), files.PRIVATE)


def draw_pairs(pairs: Mapping[str, Pairs]) -> Figure:
  """At most twenty pairs of each space, ten in a line.

  Left of a pair the synthetic image, right the private one; below, the row of
  the private one and the distance, as a share of that below which near-copies
  lie.

  Args:
    pairs: by the space, C 1 or 3.

  Returns:
    A figure whose only axes hold two images and a text for each pair.
  """
  counts = [min(_MOST, len(each.row)) for each in pairs.values()]
  lines = sum(-(-count // _COLUMNS) for count in counts)
  wide = max(min(max(counts), _COLUMNS), _COLUMNS // 2)
  tall = lines * _TALL + len(pairs) * _HEADING
  size = (_INCHES * wide + 2 * _MARGIN, _INCHES * tall + _HEAD + _MARGIN)
  figure = new_figure(*size, layout="none")
  axes = figure.add_axes(
    (
      _MARGIN / size[0],
      _MARGIN / size[1],
      _INCHES * wide / size[0],
      _INCHES * tall / size[1],
    )
  )
  axes.set_axis_off()
  top = 0.0
  for (name, each), count in zip(pairs.items(), counts, strict=True):
    near = (each.distance < each.threshold) | (each.distance == 0)
    heading = f"in {name}: {near[:count].sum()} of {count} are near-copies"
    axes.text(0, top + _HEADING / 2, heading, fontsize=8, va="center")
    top += _HEADING
    for place in range(count):
      left = place % _COLUMNS
      _draw_pair(axes, each, place, left, top + place // _COLUMNS * _TALL)
    top += -(-count // _COLUMNS) * _TALL
  axes.set(xlim=(0, wide), ylim=(tall, 0), aspect="auto")
  figure.text(
    _MARGIN / size[0],
    1 - 0.12 / size[1],
    "Closest pairs, a synthetic image left and a private one right: private",
    fontsize=10,
    va="top",
  )
  return figure


def _draw_pair(
  axes: Axes, pairs: Pairs, place: int, left: float, top: float
) -> None:
  """Both images of one pair, and a text.

  Args:
    axes: to draw in.
    pairs: of one space.
    place: which of them.
    left: of the pair.
    top: of the pair.
  """
  for number, images in enumerate((pairs.synthetic, pairs.private)):
    image = images[place]
    image = image.repeat(3 // image.shape[-1], axis=-1)
    high, broad = np.array(image.shape[:2]) / max(image.shape[:2]) * _SIDE
    edge = left + 0.03 + number * (_SIDE + 0.02) + (_SIDE - broad) / 2
    axes.imshow(
      image,
      extent=(edge, edge + broad, top + high, top),
      interpolation="nearest",
    )
  axes.text(
    left + 0.04 + _SIDE,
    top + _SIDE + 0.04,
    _caption(pairs, place),
    fontsize=6.5,
    ha="center",
    va="top",
    linespacing=1.25,
  )


def _caption(pairs: Pairs, place: int) -> str:
  """`image 1234`, and below `0.42 of the threshold`."""
  distance, threshold = pairs.distance[place], pairs.threshold[place]
  if distance == 0:
    relative = "a copy"
  elif threshold > 0:
    relative = f"{distance / threshold:.2f} of threshold"
  else:
    relative = f"distance {distance:.3g}"
  return f"image {pairs.row[place]}\n{relative}"
