"""Patterns of clothes: what is worn above the feet.

Arguments are shape numbers in [0, 1]: corners and brightness must be affine in
them.
"""

from syndata_jax.evolution.apis.garments.layers import (
  Corner,
  Layer,
  box,
  mirrored,
)


def t_shirt(
  sleeve: float,
  body: float,
  hem: float,
  neck: float,
  spread: float,
  drop: float,
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
  outline = mirrored(
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


def trousers(
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
  half = 0.3 + 0.16 * waist
  outer = 0.32 + 0.26 * leg
  inner = 0.02 + 0.16 * gap
  top = -0.45 + 0.35 * crotch
  outline = mirrored(
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
  line = Layer(box(-0.025, -0.95, 0.025, -0.2), 0.9 - 0.4 * lean)
  return [Layer(outline, 1.0), line]


def pullover(
  sleeve: float,
  body: float,
  hem: float,
  neck: float,
  spread: float,
  band: float,
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
    Layer(box(-half, 0.86, half, 0.97), 1.0 - 0.3 * band),
    _collar(0.18 * neck, 0.2),
  ]


def dress(
  flare: float,
  waist: float,
  sleeve: float,
  neck: float,
  straps: float,
  low: float,
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
  shoulder = 0.2 + 0.2 * straps
  middle = 0.18 + 0.18 * waist
  outline = mirrored(
    [
      (0.0, -0.88 + 0.3 * neck),
      (0.1, -1.0),
      (shoulder, -0.98),
      (shoulder + 0.06 + 0.2 * sleeve, -0.72 + 0.7 * sleeve),
      (shoulder - 0.06 + 0.2 * sleeve, -0.6 + 0.7 * sleeve),
      (middle + 0.05, -0.5 + 0.05 * sleeve),
      (middle, -0.25 + 0.2 * low),
      (0.26 + 0.28 * flare, 0.5),
      (0.28 + 0.36 * flare, 0.98),
      (0.0, 1.0),
    ]
  )
  return [Layer(outline, 1.0)]


def coat(
  sleeve: float,
  body: float,
  hem: float,
  collar: float,
  spread: float,
  line: float,
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
    Layer(box(-0.03, -0.9, 0.03, 1.0), 0.8 - 0.7 * line),
  ]


def shirt(
  sleeve: float,
  body: float,
  hem: float,
  neck: float,
  spread: float,
  buttons: float,
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
  outline = mirrored(
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
    Layer(box(-0.03, -0.75, 0.03, 0.97), 1.0 - 0.6 * buttons),
  ]


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
  return mirrored(
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


def _collar(depth: float, width: float) -> Layer:
  """The dark inside of a neck."""
  return Layer(
    mirrored([(0.0, -0.96), (width, -0.98), (0.0, -0.9 + depth)]), 0.45
  )
