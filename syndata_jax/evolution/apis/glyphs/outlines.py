"""Characters as tables of signed distances, made on the host.

The fonts are those that come with matplotlib, and digits are written by hand
as well (`strokes`): nothing is downloaded. The
distance to an outline is exact, so a table of few cells gives smooth strokes
of any weight: where it is below a threshold there is ink.
"""

import functools
import pathlib
from collections.abc import Sequence

import numpy as np

from syndata_jax.errors import UserError
from syndata_jax.evolution.apis.glyphs import strokes

# One of each shape: what is only bolder or slanted, the simulator makes itself.
FONTS = (
  "DejaVuSans.ttf",
  "DejaVuSerif.ttf",
  "STIXGeneral.ttf",
  "cmss10.ttf",
  "cmti10.ttf",
  "cmtt10.ttf",
)
# Points of an em: curves are cut into straight edges of about a point.
_EM = 40.0


def signed_distance(
  polygons: Sequence[np.ndarray], points: np.ndarray
) -> np.ndarray:
  """Distances to the outline of a shape, below 0 inside of it.

  Inside is what the polygons wind around (the rule of TrueType and PostScript):
  a hole is a polygon of the other direction.

  Args:
    polygons: real[V,2] each, closed by an edge from the last vertex to the
      first; at least one.
    points: real[P,2].

  Returns:
    real[P].
  """
  nearest = np.full(len(points), np.inf)
  winding = np.zeros(len(points), int)
  x, y = points[:, :1], points[:, 1:]
  for polygon in polygons:
    (x0, y0), (x1, y1) = polygon.T, np.roll(polygon, -1, axis=0).T
    dx, dy = x1 - x0, y1 - y0
    length = np.maximum(dx * dx + dy * dy, 1e-30)
    along = np.clip(((x - x0) * dx + (y - y0) * dy) / length, 0, 1)
    gap = (x - x0 - along * dx) ** 2 + (y - y0 - along * dy) ** 2
    nearest = np.minimum(nearest, gap.min(axis=1))
    side = dx * (y - y0) - dy * (x - x0)
    up = (y0 <= y) & (y < y1) & (side > 0)
    down = (y1 <= y) & (y < y0) & (side < 0)
    winding += up.sum(axis=1) - down.sum(axis=1)
  nearest = np.sqrt(nearest)
  return np.where(winding != 0, -nearest, nearest)


@functools.lru_cache(maxsize=8)
def tables(characters: str, cells: int, reach: float) -> np.ndarray:
  """Distances to every character, of every font and hand that has them all.

  Each character fills the square [-1, 1]: as high as that or, where it is
  wider than high, as wide.

  Args:
    characters: to be drawn, at least one.
    cells: G, of a side of the table.
    reach: it covers [-reach, reach], x to the right and y down; its outermost
      points are these.

  Returns:
    f32[F,K,G,G], rows are y.

  Raises:
    UserError: a character that no font has.
  """
  axis = np.linspace(-reach, reach, cells)
  y, x = np.meshgrid(axis, axis, indexing="ij")
  points = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
  printed = [
    [signed_distance(_polygons(font, one), points) for one in characters]
    for font in _fonts_with(characters)
  ]
  written = [
    [strokes.signed_distance(one, hand, points) for one in characters]
    for hand in range(strokes.hands(characters))
  ]
  shape = len(printed + written), len(characters), cells, cells
  return np.asarray(printed + written, np.float32).reshape(shape)


def _fonts_with(characters: str) -> list[pathlib.Path]:
  """Files of the fonts that have all the characters, and ink for each."""
  import matplotlib
  from matplotlib.ft2font import FT2Font

  folder = pathlib.Path(matplotlib.get_data_path()) / "fonts" / "ttf"
  paths = [folder / name for name in FONTS if (folder / name).is_file()]
  maps = {path: set(FT2Font(str(path)).get_charmap()) for path in paths}
  for one in characters:
    if not one.isprintable() or one.isspace():
      raise UserError(f"characters={characters!r}: {one!r} leaves no ink")
  suitable = [
    path for path in paths if all(ord(one) in maps[path] for one in characters)
  ]
  if not suitable:
    absent = [
      one
      for one in characters
      if not any(ord(one) in points for points in maps.values())
    ]
    raise UserError(
      f"characters={characters!r}: no font of matplotlib has"
      f" {', '.join(map(repr, absent)) or 'all of them'}"
    )
  return suitable


def _polygons(font: pathlib.Path, character: str) -> list[np.ndarray]:
  """The outline of a character, y down, in the square [-1, 1]."""
  from matplotlib.font_manager import FontProperties
  from matplotlib.textpath import TextPath

  path = TextPath((0, 0), character, size=_EM, prop=FontProperties(fname=font))
  polygons = [np.asarray(p, float) for p in path.to_polygons()]
  polygons = [polygon for polygon in polygons if len(polygon) > 2]
  if not polygons:
    raise UserError(f"characters: {character!r} leaves no ink in {font.name}")
  corners = np.concatenate(polygons)
  low, high = corners.min(axis=0), corners.max(axis=0)
  scale = np.array([2.0, -2.0]) / (high - low).max()
  return [
    ((polygon - (low + high) / 2) * scale).astype(np.float32)
    for polygon in polygons
  ]
