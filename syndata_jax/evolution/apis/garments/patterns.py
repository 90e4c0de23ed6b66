"""Ten kinds of clothes as patterns: layers of polygons that shape numbers move.

A garment is drawn layer by layer, each a polygon with a brightness, in the
square [-1, 1] with x to the right and y down. Corners and brightness are affine
in six shape numbers of [0, 1], whose meaning is each garment's own, so a
pattern is two tables: what it is at zero, and what each number adds.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from syndata_jax.evolution.apis.garments import clothes, shoes
from syndata_jax.evolution.apis.garments.layers import Layer

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


_PATTERNS: tuple[Callable[..., list[Layer]], ...] = (
  clothes.t_shirt,
  clothes.trousers,
  clothes.pullover,
  clothes.dress,
  clothes.coat,
  shoes.sandal,
  clothes.shirt,
  shoes.sneaker,
  shoes.bag,
  shoes.boot,
)
