"""Ten kinds of clothes as patterns: layers of polygons that shape numbers move.

A garment is drawn layer by layer, each a polygon with a brightness, in the
square [-1, 1] with x to the right and y down. Corners and brightness are affine
in six shape numbers of [0, 1], whose meaning is each garment's own, so a
pattern is two tables: what it is at zero, and what each number adds.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

NAMES = (
  "t-shirt",
  "trousers",
  "pullover",
  "dress",
  "coat",
  "sandal",
  "shirt",
  "sneaker",
  "bag",
  "ankle boot",
)
NUMBERS = 6

Corner = tuple[float, float]


class Layer(NamedTuple):
  """One polygon, drawn over those before it."""

  corners: Sequence[Corner]
  brightness: float  # over that of the cloth; 0 cuts a hole


class Patterns(NamedTuple):
  """Tables of all garments, padded to the same numbers of layers and corners.

  The value at shape numbers u is `start + sum of u[j] moves[j]`.
  """

  corners: np.ndarray  # f32[K,L,V,2] at zero
  corner_moves: np.ndarray  # f32[K,NUMBERS,L,V,2]
  brightness: np.ndarray  # f32[K,L] at zero
  brightness_moves: np.ndarray  # f32[K,NUMBERS,L]


@functools.cache
def tables() -> Patterns:
  """The patterns in the order of `NAMES`."""
  numbers = np.concatenate([np.zeros((1, NUMBERS)), np.eye(NUMBERS)])
  drawn = [[pattern(*row) for row in numbers] for pattern in _PATTERNS]
  num_layers = max(len(each[0]) for each in drawn)
  num_corners = max(len(y.corners) for each in drawn for y in each[0])
  shape = len(drawn), 1 + NUMBERS, num_layers
  # A polygon of one point, far outside, leaves no ink.
  corners = np.full((*shape, num_corners, 2), 9.0, np.float32)
  brightness = np.zeros(shape, np.float32)
  for k, of_numbers in enumerate(drawn):
    for j, layers in enumerate(of_numbers):
      for place, layer in enumerate(layers):
        # An edge without a length, at the end, changes nothing.
        rest = [layer.corners[-1]] * (num_corners - len(layer.corners))
        corners[k, j, place] = [*layer.corners, *rest]
        brightness[k, j, place] = layer.brightness
  return Patterns(
    corners[:, 0],
    corners[:, 1:] - corners[:, :1],
    brightness[:, 0],
    brightness[:, 1:] - brightness[:, :1],
  )


def _mirrored(right: Sequence[Corner]) -> list[Corner]:
  """A symmetric outline from its right half, from top to bottom."""
  left = [(-x, y) for x, y in reversed(right) if x != 0]
  return [*right, *left]


def _box(left: float, top: float, right: float, bottom: float) -> list[Corner]:
  return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _collar(depth: float, width: float) -> Layer:
  """The dark inside of a neck."""
  return Layer(
    _mirrored([(0.0, -0.96), (width, -0.98), (0.0, -0.9 + depth)]), 0.45
  )


def _t_shirt(
  sleeve: float, body: float, hem: float, neck: float, spread: float, drop: float
) -> list[Layer]:
  """Short or no sleeves.

  Args:
    sleeve: their length.
    body: width at the chest.
    hem: width at the bottom, over that of the chest.
    neck: depth of the neck.
    spread: how far the sleeves stand off.
    drop: of the shoulders.
  """
  half = 0.45 + 0.2 * body
  tip = 0.62 + 0.3 * sleeve + 0.08 * spread
  tip_y = -0.62 + 0.55 * sleeve - 0.15 * spread
  outline = _mirrored(
    [
      (0.0, -0.86 + 0.2 * neck),
      (0.16, -0.94 + 0.1 * neck),
      (0.24, -1.0),
      (0.52, -0.88 + 0.08 * drop),
      (tip, tip_y),
      (tip - 0.22 + 0.05 * sleeve, tip_y + 0.16),
      (half, -0.42 + 0.2 * sleeve),
      (half - 0.03, 0.2),
      (half - 0.05 + 0.14 * hem, 0.97),
      (0.0, 1.0),
    ]
  )
  return [Layer(outline, 1.0), _collar(0.2 * neck, 0.2)]


def _trousers(
  waist: float, leg: float, gap: float, crotch: float, flare: float, lean: float
) -> list[Layer]:
  """Two legs with a gap.

  Args:
    waist: its width.
    leg: how far out the feet stand.
    gap: between the feet.
    crotch: how low the gap begins.
    flare: width of the legs at the knee.
    lean: darkness of the line in the middle.
  """
  half = 0.26 + 0.16 * waist
  outer = 0.3 + 0.22 * leg
  inner = 0.02 + 0.2 * gap
  top = -0.45 + 0.35 * crotch
  outline = _mirrored(
    [
      (0.0, -1.0),
      (half, -1.0),
      (half + 0.06, -0.5),
      (outer - 0.02 + 0.06 * flare, 0.2),
      (outer, 1.0),
      (inner + 0.04, 1.0),
      (inner * 0.6 + 0.02, 0.2),
      (0.0, top),
    ]
  )
  line = Layer(_box(-0.025, -0.95, 0.025, -0.2), 0.9 - 0.4 * lean)
  return [Layer(outline, 1.0), line]


def _sleeved(
  sleeve: float, body: float, hem: float, neck: float, spread: float
) -> list[Corner]:
  """The outline of a body with long sleeves that hang down beside it.

  Args:
    sleeve: how low they reach.
    body: half the width of the body, in numbers of [0, 1].
    hem: width at the bottom, over that of the chest.
    neck: depth of the neck.
    spread: how far the sleeves stand off.
  """
  half = 0.44 + 0.16 * body
  cuff = 0.78 + 0.16 * spread
  low = 0.45 + 0.5 * sleeve
  return _mirrored(
    [
      (0.0, -0.9 + 0.2 * neck),
      (0.22, -1.0),
      (0.5, -0.88),
      (0.68, -0.6),
      (cuff, low - 0.15),
      (cuff + 0.02, low),
      (cuff - 0.2, low + 0.02),
      (half + 0.06, -0.2),
      (half, 0.1),
      (half - 0.04 + 0.14 * hem, 0.97),
      (0.0, 1.0),
    ]
  )


def _pullover(
  sleeve: float, body: float, hem: float, neck: float, spread: float, band: float
) -> list[Layer]:
  """As `_sleeved`, with a band at the bottom.

  Args:
    sleeve: see there, as the next ones.
    body: width.
    hem: at the bottom.
    neck: its depth.
    spread: of the sleeves.
    band: its darkness.
  """
  half = 0.4 + 0.16 * body + 0.14 * hem
  return [
    Layer(_sleeved(sleeve, body, hem, neck, spread), 1.0),
    Layer(_box(-half, 0.86, half, 0.97), 1.0 - 0.3 * band),
    _collar(0.18 * neck, 0.2),
  ]


def _dress(
  flare: float, waist: float, sleeve: float, neck: float, straps: float, low: float
) -> list[Layer]:
  """Narrow above, wider below.

  Args:
    flare: half the width at the bottom.
    waist: its width.
    sleeve: length of the sleeves.
    neck: depth of the neck.
    straps: width of the shoulders.
    low: how low the waist is.
  """
  shoulder = 0.2 + 0.1 * straps
  middle = 0.16 + 0.12 * waist
  outline = _mirrored(
    [
      (0.0, -0.88 + 0.3 * neck),
      (0.1, -1.0),
      (shoulder, -0.98),
      (shoulder + 0.04 + 0.16 * sleeve, -0.72 + 0.5 * sleeve),
      (shoulder - 0.03 + 0.12 * sleeve, -0.6 + 0.5 * sleeve),
      (middle + 0.04, -0.5),
      (middle, -0.3 + 0.25 * low),
      (0.22 + 0.3 * flare, 0.5),
      (0.24 + 0.4 * flare, 0.98),
      (0.0, 1.0),
    ]
  )
  return [Layer(outline, 1.0)]


def _coat(
  sleeve: float, body: float, hem: float, collar: float, spread: float, line: float
) -> list[Layer]:
  """As `_sleeved`, open in front, with lapels.

  Args:
    sleeve: see there, as the next ones.
    body: width.
    hem: at the bottom.
    collar: how low the lapels reach.
    spread: of the sleeves.
    line: darkness of the opening.
  """
  lapel = [(0.0, -0.5 + 0.5 * collar), (0.2, -0.98), (0.04, -0.96)]
  other = [(-x, y) for x, y in lapel]
  return [
    Layer(_sleeved(sleeve, body, hem, 0.0, spread), 1.0),
    Layer(lapel, 0.75),
    Layer(other, 0.75),
    Layer(_box(-0.03, -0.9, 0.03, 1.0), 0.8 - 0.7 * line),
  ]


def _sandal(
  heel: float, arch: float, strap: float, ankle: float, sole: float, open_: float
) -> list[Layer]:
  """A sole with straps, the toes to the left.

  Args:
    heel: its height.
    arch: height of the straps in the middle.
    strap: width of the front strap.
    ankle: height of the back.
    sole: its thickness.
    open_: darkness between the straps.
  """
  up = 0.5 - 0.55 * heel
  thick = 0.08 + 0.1 * sole
  bed = [
    (-0.97, 0.42 - thick),
    (-0.4, 0.44 - thick),
    (0.3, 0.44 - 0.35 * heel - thick),
    (0.92, up - thick),
    (0.97, 0.5),
    (0.72, 0.5),
    (0.6, 0.5 - 0.3 * heel),
    (0.1, 0.5 - 0.14 * heel),
    (-0.4, 0.5),
    (-0.92, 0.5),
  ]
  front = [
    (-0.85 + 0.1 * strap, 0.36),
    (-0.55, 0.1 - 0.25 * arch),
    (-0.35 + 0.2 * strap, 0.02 - 0.3 * arch),
    (-0.25 + 0.2 * strap, 0.4),
  ]
  back = [
    (0.45, 0.32 - 0.3 * heel),
    (0.6, -0.15 - 0.45 * ankle),
    (0.86, -0.2 - 0.45 * ankle),
    (0.95, 0.4 - 0.5 * heel),
  ]
  middle = [
    (-0.35, 0.1 - 0.3 * arch),
    (0.5, -0.1 - 0.4 * ankle),
    (0.6, 0.05 - 0.4 * ankle),
    (-0.25, 0.25 - 0.3 * arch),
  ]
  hole = [
    (-0.3, 0.3),
    (0.5, 0.08 - 0.3 * ankle),
    (0.5, 0.24 - 0.3 * heel),
    (-0.2, 0.38),
  ]
  return [
    Layer(front, 0.85),
    Layer(back, 0.85),
    Layer(middle, 0.75),
    Layer(hole, 0.5 - 0.5 * open_),
    Layer(bed, 1.0),
  ]


def _shirt(
  sleeve: float, body: float, hem: float, neck: float, spread: float, buttons: float
) -> list[Layer]:
  """A body with sleeves of any length, a collar and a row of buttons.

  Args:
    sleeve: length, from half of the arm to all of it.
    body: width.
    hem: at the bottom.
    neck: depth of the collar.
    spread: of the sleeves.
    buttons: darkness of their row.
  """
  half = 0.42 + 0.18 * body
  cuff = 0.74 + 0.16 * spread
  low = -0.25 + 1.15 * sleeve
  outline = _mirrored(
    [
      (0.0, -0.86 + 0.22 * neck),
      (0.22, -1.0),
      (0.5, -0.86),
      (0.66, -0.6),
      (cuff, low - 0.1),
      (cuff + 0.02, low),
      (cuff - 0.2, low + 0.05),
      (half + 0.05, -0.3 + 0.1 * sleeve),
      (half, 0.1),
      (half - 0.02 + 0.1 * hem, 0.92),
      (0.3, 1.0),
      (0.0, 0.97),
    ]
  )
  return [
    Layer(outline, 1.0),
    _collar(0.3 * neck, 0.18),
    Layer(_box(-0.03, -0.75, 0.03, 0.97), 1.0 - 0.6 * buttons),
  ]


def _sneaker(
  height: float, toe: float, sole: float, tongue: float, contrast: float, mark: float
) -> list[Layer]:
  """A low shoe, the toes to the left.

  Args:
    height: of the heel.
    toe: of the toes.
    sole: thickness.
    tongue: how far up the front reaches.
    contrast: brightness of the sole.
    mark: darkness of the stripe.
  """
  top = -0.12 - 0.28 * height
  upper = [
    (-0.97, 0.3),
    (-0.94, 0.16 - 0.14 * toe),
    (-0.6, 0.06 - 0.14 * toe),
    (-0.15, -0.12 - 0.12 * tongue),
    (0.12, -0.26 - 0.2 * tongue),
    (0.3, -0.22 - 0.1 * tongue),
    (0.5, -0.04 - 0.1 * height),
    (0.75, top + 0.02),
    (0.92, top),
    (0.97, 0.3),
  ]
  base = [
    (-0.99, 0.3 - 0.06 * sole),
    (0.99, 0.3 - 0.08 * sole),
    (0.98, 0.45),
    (-0.94, 0.45),
  ]
  stripe = [
    (-0.1, 0.0),
    (0.1, -0.14),
    (0.34, 0.22),
    (0.14, 0.24),
  ]
  return [
    Layer(upper, 1.0),
    Layer(stripe, 1.0 - 0.6 * mark),
    Layer(base, 0.5 + 0.6 * contrast),
  ]


def _bag(
  height: float, width: float, top: float, handle: float, flap: float, line: float
) -> list[Layer]:
  """A body with a handle above it.

  Args:
    height: of the body.
    width: of the body.
    top: width above, over that below.
    handle: its height.
    flap: darkness of the upper part.
    line: darkness of the seam.
  """
  half = 0.7 + 0.28 * width
  upper = half - 0.22 + 0.2 * top
  edge = 0.05 - 0.5 * height
  peak = edge - 0.5 * handle - 0.02
  body = [
    (-upper, edge),
    (upper, edge),
    (half, 0.55 + 0.1 * height),
    (half - 0.06, 0.7 + 0.15 * height),
    (-half + 0.06, 0.7 + 0.15 * height),
    (-half, 0.55 + 0.1 * height),
  ]
  outer = [(-0.5, edge + 0.05), (-0.34, peak), (0.34, peak), (0.5, edge + 0.05)]
  inner = [
    (-0.4, edge + 0.05),
    (-0.26, peak + 0.12),
    (0.26, peak + 0.12),
    (0.4, edge + 0.05),
  ]
  low = 0.25 - 0.1 * height
  cover = [(-upper, edge), (upper, edge), (half - 0.05, low), (0.05 - half, low)]
  return [
    Layer(outer, 0.9),
    Layer(inner, 0.0),
    Layer(body, 1.0),
    Layer(cover, 1.0 - 0.35 * flap),
    Layer(_box(-0.6, low - 0.03, 0.6, low + 0.04), 1.0 - 0.5 * line),
  ]


def _boot(
  shaft: float, toe: float, heel: float, width: float, sole: float, zip_: float
) -> list[Layer]:
  """A shoe that reaches above the ankle, the toes to the left.

  Args:
    shaft: its height.
    toe: height of the toes.
    heel: its height.
    width: of the shaft.
    sole: brightness of the sole.
    zip_: darkness of the line beside the shaft.
  """
  top = -0.55 - 0.42 * shaft
  front = 0.05 - 0.3 * width
  outline = [
    (-0.97, 0.66),
    (-0.93, 0.46 - 0.16 * toe),
    (-0.6, 0.3 - 0.12 * toe),
    (-0.25 - 0.05 * width, 0.1),
    (front, -0.25),
    (front + 0.03, top + 0.04),
    (0.86, top),
    (0.86, 0.1),
    (0.96, 0.5),
    (0.94, 0.7),
  ]
  under = [
    (-0.97, 0.66),
    (0.3, 0.66 - 0.14 * heel),
    (0.96, 0.62 - 0.1 * heel),
    (0.94, 0.86 + 0.1 * heel),
    (0.5, 0.86 + 0.1 * heel),
    (0.36, 0.76 - 0.04 * heel),
    (-0.9, 0.78),
  ]
  seam = _box(0.42, -0.5, 0.5, 0.45)
  return [
    Layer(outline, 1.0),
    Layer(seam, 1.0 - 0.4 * zip_),
    Layer(under, 0.5 + 0.5 * sole),
  ]


_PATTERNS: tuple[Callable[..., list[Layer]], ...] = (
  _t_shirt,
  _trousers,
  _pullover,
  _dress,
  _coat,
  _sandal,
  _shirt,
  _sneaker,
  _bag,
  _boot,
)
