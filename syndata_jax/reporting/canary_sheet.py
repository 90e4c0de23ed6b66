"""A picture of the most exposed canaries, each with both of its labels.

It convinces a reader that a canary is what he thinks, and is as private as the
images themselves.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from syndata_jax import files
from syndata_jax.reporting import exposed
from syndata_jax.reporting.figures import new_figure, save

_MOST = 50
_COLUMNS = 10
_SIDE = 0.88  # of a picture, the distance of two being 1
_LINES = 0.42  # height of its caption
_INCHES = 0.95  # between two pictures
_MARGIN = 0.12
_HEAD = 0.4


def canary_sheet(
  path: files.Path, images: np.ndarray, table: Mapping[str, np.ndarray]
) -> Figure:
  """Writes `draw_canaries` as a PNG that its owner alone may read."""
  return save(path, draw_canaries(images, table), files.PRIVATE)


def draw_canaries(
  images: np.ndarray, table: Mapping[str, np.ndarray]
) -> Figure:
  """At most fifty canaries, the most exposed first, ten in a line.

  Below each its labels, and in how many of the models that trained on it the
  attack recognises it.

  Args:
    images: u8[Q,H,W,C], C 1 or 3, in the order of the predictions.
    table: `exposed.columns` of them, true labels included.

  Returns:
    A figure whose only axes hold an image and a text for each.
  """
  count = min(_MOST, len(table["row"]))
  lines = -(-count // _COLUMNS)
  # At least half a line, so that there is room for the title.
  wide = max(min(count, _COLUMNS), _COLUMNS // 2)
  tall = lines * (1 + _LINES)
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
  for place in range(count):
    left, top = place % _COLUMNS, place // _COLUMNS * (1 + _LINES)
    image = images[table["row"][place]]
    image = image.repeat(3 // image.shape[-1], axis=-1)
    high, broad = np.array(image.shape[:2]) / max(image.shape[:2]) * _SIDE
    edge = left + (1 - broad) / 2
    axes.imshow(
      image,
      extent=(edge, edge + broad, top + high, top),
      interpolation="nearest",
    )
    axes.text(
      left + 0.5,
      top + _SIDE + 0.05,
      _caption(table, place),
      fontsize=6.5,
      ha="center",
      va="top",
      linespacing=1.25,
    )
  axes.set(xlim=(0, wide), ylim=(tall, 0), aspect="auto")
  figure.text(
    _MARGIN / size[0],
    1 - 0.12 / size[1],
    f"The {count} most exposed canaries: private",
    fontsize=10,
    va="top",
  )
  return figure


def _caption(table: Mapping[str, np.ndarray], place: int) -> str:
  """`given 3, true 5`, and below `found in 15 of 16`."""
  labels = f"given {table['label'][place]}"
  if "label_true" in table:
    labels += f", true {exposed.label(table['label_true'][place])}"
  at = {name: table[name][place] for name in ("models_in", "recognised")}
  if not at["models_in"]:
    return f"{labels}\nin no model"
  return f"{labels}\nfound in {exposed.found(at)}"
