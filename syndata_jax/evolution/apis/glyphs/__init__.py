"""Glyphs: a simulator of printed and written characters.

A sample is a handful of numbers and two choices, a character and its font.
They are drawn by tables of signed distances (`outlines`): the plane is bent,
turned, sheared and scaled, and there is ink where the outline is nearer than
the weight of the pen. After Lin et al., "Differentially Private Synthetic Data
via APIs 3: Using Simulators Instead of Foundation Models", arXiv 2502.05505,
whose simulator writes with fonts too.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax.data.outside import check_shape
from syndata_jax.errors import UserError
from syndata_jax.evolution.api import Api
from syndata_jax.evolution.apis import jitter
from syndata_jax.evolution.apis.glyphs import outlines
from syndata_jax.evolution.apis.options import ApiOptions
from syndata_jax.evolution.apis.parts import in_parts
from syndata_jax.keys import stream

# Of the square [-1, 1] that is the image; angles in radians.
_RANGES = {
  "height": (0.82, 1.12),  # over what it is set to
  "aspect": (0.55, 1.35),  # width over height, where 1 is the font's
  "rotation": (-0.2, 0.2),
  "shear": (-0.2, 0.4),  # to the right, of the top
  "right": (-0.1, 0.1),
  "down": (-0.07, 0.07),
  "weight": (-0.04, 0.22),  # of the pen, added to the outline all around
  "softness": (0.8, 1.8),  # of the edge, in pixels
  "ink": (0.85, 1.3),  # brightness, cut at 1
}
# Control points of the bend, a side, and how far they move at most.
_BEND, _FAR = 4, 0.28
# Of the tables: cells a side, and half the side of what they cover.
_CELLS, _REACH = 48, 1.5
# Points a side at least that an image is computed at, and images at once.
_POINTS, _AT_ONCE = 16, 128


class Glyphs(NamedTuple):
  """Samples; leaves [B,...]."""

  numbers: jax.Array  # f32[B,9] in [0, 1], in the order of `_RANGES`
  bend: jax.Array  # f32[B,16,2] in [0, 1], of the control points
  colours: jax.Array  # f32[B,2,C] in [0, 1]: ground and ink; C is 0 for grey
  font: jax.Array  # i32[B]
  character: jax.Array  # i32[B]


@dataclasses.dataclass(frozen=True, eq=False)
class GlyphApi(Api):
  """Draws characters.

  Attributes:
    image_shape: (H, W, C), C is 1 for white on black or 3 for two colours.
    characters: the k-th is that of class k.
    tables: f32[F,K,G,G], see `outlines.tables`.
    every: whether any class may draw any character; which ones it should, the
      votes then say. A variation keeps its parent's.
    size: height of the characters over that of the image, in the middle.
  """

  image_shape: tuple[int, int, int]
  characters: str
  tables: np.ndarray
  every: bool = False
  size: float = 1.0
  traceable: bool = True
  public: tuple[str, ...] = (
    "characters in fonts of matplotlib, digits as hands write them, and ranges"
    " of their size, slant, bend and stroke, set by looking at public digits",
  )

  def random(self, key: jax.Array, labels: jax.Array) -> Glyphs:
    """Characters of the classes, everything else uniform.

    Args:
      key: of the draws.
      labels: i32[B].
    """
    count = len(labels)
    draw = lambda name, *shape: jax.random.uniform(
      stream(key, name), (count, *shape)
    )
    choose = lambda name, most: jax.random.randint(
      stream(key, name), (count,), 0, most
    )
    fonts, characters = self.tables.shape[:2]
    return Glyphs(
      numbers=draw("numbers", len(_RANGES)),
      bend=draw("bend", _BEND**2, 2),
      colours=draw("colours", 2, 3 if self.image_shape[2] == 3 else 0),
      font=choose("font", fonts),
      character=choose("character", characters) if self.every else labels,
    )

  def variation(
    self,
    key: jax.Array,
    samples: Glyphs,
    labels: jax.Array,
    degree: float | jax.Array,
  ) -> Glyphs:
    """The same characters, drawn otherwise.

    Args:
      key: of the draws.
      samples: parents.
      labels: i32[B].
      degree: how far numbers move, and the probability of another font.
    """
    step = lambda name, numbers: jitter.moved(
      stream(key, name), numbers, degree
    )
    return Glyphs(
      numbers=step("numbers", samples.numbers),
      bend=step("bend", samples.bend),
      colours=step("colours", samples.colours),
      font=jitter.redrawn(
        stream(key, "font"), samples.font, len(self.tables), degree
      ),
      character=samples.character,
    )

  def render(self, samples: Glyphs) -> jax.Array:
    """Images u8[B,H,W,C]."""
    tables = jnp.asarray(self.tables)
    draw = jax.vmap(lambda one: _draw(one, tables, self.image_shape, self.size))
    return in_parts(draw, samples, _AT_ONCE)


def make(
  image_shape: tuple[int, int, int],
  num_classes: int,
  options: ApiOptions,
  every: bool = False,
) -> GlyphApi:
  """The simulator for one kind of images.

  Args:
    image_shape: (H, W, C).
    num_classes: K.
    options: which characters.
    every: whether any class may draw any of them.

  Raises:
    UserError: too few characters for the classes, or one without a font.
  """
  check_shape(image_shape)
  characters = options.characters
  if not every and len(characters) != num_classes:
    raise UserError(
      f"characters={characters!r}: has {len(characters)}: glyphs must have"
      f" {num_classes}, one for each class"
    )
  tables = outlines.tables(characters, _CELLS, _REACH)
  return GlyphApi(
    image_shape, characters, tables, every, options.character_size
  )


def _draw(
  one: Glyphs,
  tables: jax.Array,
  shape: tuple[int, int, int],
  size: float,
) -> jax.Array:
  """One image u8[H,W,C].

  Args:
    one: leaves without the axis B.
    tables: f32[F,K,G,G].
    shape: (H, W, C).
    size: see `GlyphApi`.
  """
  height, width, channels = shape
  finer = max(1, -(-_POINTS // height))
  values = {
    name: jitter.between(low, high, one.numbers[place])
    for place, (name, (low, high)) in enumerate(_RANGES.items())
  }
  points, basis = _grid(height * finer, width * finer)
  bent = jnp.asarray(points) + _FAR * (basis @ (2 * one.bend - 1))
  scale = values["height"] = size * values["height"]
  places = _placed(bent, values)
  distance = scale * _read(tables[one.font, one.character], places)
  # Half of the image is H/2 pixels.
  pixels = (
    (distance - size * values["weight"]) * (height / 2) / values["softness"]
  )
  ink = jnp.clip(0.5 - pixels, 0, 1)
  ink = ink.reshape(height, finer, width, finer).mean((1, 3))[..., None]
  if channels == 1:
    image = jnp.minimum(values["ink"] * ink, 1)
  else:
    image = one.colours[0] + ink * (one.colours[1] - one.colours[0])
  return jnp.round(255 * image).astype(jnp.uint8)


def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
  """Where an image is computed, and what bends it there.

  Args:
    height: points of a column; the square [-1, 1] is as high as the image.
    width: of a row.

  Returns:
    (points f32[P,2], x to the right and y down; Bernstein polynomials of the
    control points f32[P,16]).
  """
  row = (np.arange(width) + 0.5) / width
  column = (np.arange(height) + 0.5) / height
  y, x = np.meshgrid(column, row, indexing="ij")
  ends = np.array([width / height, 1.0])
  points = (2 * np.stack([x.ravel(), y.ravel()], axis=1) - 1) * ends
  weights = [_bernstein(along.ravel()) for along in (x, y)]
  basis = np.einsum("pi,pj->pij", *weights).reshape(len(points), -1)
  return points.astype(np.float32), basis.astype(np.float32)


def _bernstein(along: np.ndarray) -> np.ndarray:
  """Polynomials of degree `_BEND` - 1 at numbers [P] of [0, 1]: [P,_BEND]."""
  from scipy.special import comb

  degree = _BEND - 1
  term = lambda i: comb(degree, i) * along**i * (1 - along) ** (degree - i)
  return np.stack([term(i) for i in range(_BEND)], axis=1)


def _placed(points: jax.Array, values: dict[str, Any]) -> jax.Array:
  """Points of the image as points of the character's square, f32[P,2].

  What is drawn is the square scaled, sheared, turned and then shifted.
  """
  x = points[:, 0] - values["right"]
  y = points[:, 1] - values["down"]
  cosine, sine = jnp.cos(values["rotation"]), jnp.sin(values["rotation"])
  x, y = cosine * x + sine * y, cosine * y - sine * x
  x = x + values["shear"] * y  # the top goes to the right
  scale = values["height"]
  return jnp.stack([x / (scale * values["aspect"]), y / scale], axis=1)


def _read(table: jax.Array, places: jax.Array) -> jax.Array:
  """A table f32[G,G] between its cells, bilinear: f32[P].

  Args:
    table: distances on [-reach, reach].
    places: f32[P,2]; beyond the table its edge is read.
  """
  cells = (places + _REACH) * ((_CELLS - 1) / (2 * _REACH))
  cells = jnp.clip(cells, 0, _CELLS - 1.001)
  whole = cells.astype(jnp.int32)
  part = cells - whole
  first = whole[:, 1] * _CELLS + whole[:, 0]
  flat = table.ravel()
  rows = [
    flat[first + row] * (1 - part[:, 0]) + flat[first + row + 1] * part[:, 0]
    for row in (0, _CELLS)
  ]
  return rows[0] * (1 - part[:, 1]) + rows[1] * part[:, 1]
