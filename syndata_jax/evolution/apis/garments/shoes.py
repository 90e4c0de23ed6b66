"""Patterns of shoes and bags; the toes point to the left.

Arguments are shape numbers in [0, 1]: corners and brightness must be affine in
them.
"""

from syndata_jax.evolution.apis.garments.layers import Layer, box


def sandal(
  heel: float,
  arch: float,
  strap: float,
  ankle: float,
  sole: float,
  open_: float,
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
    (-0.85, 0.4),
    (-0.6, 0.2 - 0.25 * arch),
    (-0.45 + 0.25 * strap, 0.12 - 0.3 * arch),
    (-0.35 + 0.25 * strap, 0.4),
  ]
  back = [
    (0.72, 0.3 - 0.5 * heel),
    (0.7, 0.0 - 0.75 * ankle),
    (0.84, -0.04 - 0.75 * ankle),
    (0.93, 0.4 - 0.5 * heel),
  ]
  middle = [
    (-0.45, 0.2 - 0.3 * arch),
    (0.72, 0.04 - 0.75 * ankle),
    (0.78, 0.14 - 0.7 * ankle),
    (-0.35, 0.32 - 0.3 * arch),
  ]
  hole = [
    (-0.3, 0.34 - 0.22 * arch),
    (0.7, 0.2 - 0.66 * ankle),
    (0.7, 0.4 - 0.5 * heel),
    (-0.2, 0.42),
  ]
  return [
    Layer(front, 0.85),
    Layer(hole, 0.4 - 0.4 * open_),
    Layer(back, 0.85),
    Layer(middle, 0.75),
    Layer(bed, 1.0),
  ]


def sneaker(
  height: float,
  toe: float,
  sole: float,
  tongue: float,
  contrast: float,
  mark: float,
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


def bag(
  height: float,
  width: float,
  top: float,
  handle: float,
  flap: float,
  line: float,
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
  half = 0.76 + 0.24 * width
  upper = half - 0.2 + 0.22 * top
  edge = -0.05 - 0.55 * height
  peak = edge - 0.55 * handle + 0.02
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
  cover = [
    (-upper, edge),
    (upper, edge),
    (half - 0.05, low),
    (0.05 - half, low),
  ]
  return [
    Layer(outer, 0.9),
    Layer(inner, 0.0),
    Layer(body, 1.0),
    Layer(cover, 1.0 - 0.35 * flap),
    Layer(box(-0.6, low - 0.03, 0.6, low + 0.04), 1.0 - 0.5 * line),
  ]


def boot(
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
  seam = box(0.42, -0.5, 0.5, 0.45)
  return [
    Layer(outline, 1.0),
    Layer(seam, 1.0 - 0.4 * zip_),
    Layer(under, 0.5 + 0.5 * sole),
  ]
