"""Garments: a simulator of clothes, shoes and bags on black ground.

A sample is a few numbers: they shape the pattern of its class (`patterns`),
place it, and give it shade, stripes, folds and a print. Ink is where a point is
inside of a polygon, with an edge that is a pixel soft, so that an image is a
smooth function of the numbers.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from syndata_jax.data.outside import check_shape
from syndata_jax.errors import UserError
from syndata_jax.evolution.api import Api
from syndata_jax.evolution.apis import jitter
from syndata_jax.evolution.apis.garments import patterns
from syndata_jax.evolution.apis.options import ApiOptions
from syndata_jax.evolution.apis.parts import in_parts
from syndata_jax.keys import stream

# Of the square [-1, 1] that is the image; angles in radians.
_RANGES = {
  "width": (0.85, 1.12),
  "height": (0.88, 1.06),
  "right": (-0.06, 0.06),
  "down": (-0.08, 0.08),
  "rotation": (-0.06, 0.06),
  "softness": (0.8, 1.8),  # of edges, in pixels
  "cloth": (0.2, 1.15),  # brightness
  "light_x": (-0.2, 0.2),  # how it changes from side to side
  "light_y": (-0.2, 0.2),
  "stripes": (-0.7, 0.35),  # their strength; none below 0
  "stripe_angle": (-0.3, 1.87),  # horizontal is 0
  "stripe_width": (4.0, 16.0),  # radians from edge to middle
  "stripe_phase": (0.0, 6.283),
  "folds": (0.0, 0.2),  # their strength
  "fold_angle": (0.0, 3.142),
  "fold_phase": (0.0, 6.283),
  "print": (-0.4, 0.4),  # brightness of a patch; weak ones are none
  "print_right": (-0.3, 0.3),
  "print_down": (-0.5, 0.4),
  "print_size": (0.08, 0.35),
  "grain": (0.0, 0.07),  # deviation of single pixels
}
_FAINT = 0.2  # prints that are weaker are left out
_AT_ONCE = 64


class Garments(NamedTuple):
  """Samples; leaves [B,...], all in [0, 1] but the kind."""

  shape: jax.Array  # f32[B,6], of the pattern
  look: jax.Array  # f32[B,21], in the order of `_RANGES`
  tint: jax.Array  # f32[B,C] of colour images, f32[B,0] of grey ones
  grain: jax.Array  # u32[B], names the noise of the pixels
  kind: jax.Array  # i32[B], the class


@dataclasses.dataclass(frozen=True, eq=False)
class GarmentApi(Api):
  """Draws the kind of garment that the class is.

  Attributes:
    image_shape: (H, W, C), C is 1 or 3.
  """

  image_shape: tuple[int, int, int]
  traceable: bool = True
  public: tuple[str, ...] = (
    "patterns of ten kinds of garments, drawn by hand for Fashion-MNIST",
  )

  def random(self, key: jax.Array, labels: jax.Array) -> Garments:
    """Garments of the classes, everything else uniform.

    Args:
      key: of the draws.
      labels: i32[B].
    """
    draw = lambda name, width: jax.random.uniform(
      stream(key, name), (len(labels), width)
    )
    return Garments(
      shape=draw("shape", patterns.NUMBERS),
      look=draw("look", len(_RANGES)),
      tint=draw("tint", 3 if self.image_shape[2] == 3 else 0),
      grain=jax.random.bits(stream(key, "grain"), labels.shape),
      kind=labels,
    )

  def variation(
    self,
    key: jax.Array,
    samples: Garments,
    labels: jax.Array,
    degree: float | jax.Array,
  ) -> Garments:
    """The same kinds, cut and lit otherwise.

    Args:
      key: of the draws.
      samples: parents.
      labels: i32[B].
      degree: how far numbers move.
    """
    step = lambda name, numbers: jitter.moved(
      stream(key, name), numbers, degree
    )
    fresh = jax.random.bits(stream(key, "grain"), samples.grain.shape)
    coin = jax.random.bernoulli(stream(key, "coin"), degree, fresh.shape)
    return Garments(
      shape=step("shape", samples.shape),
      look=step("look", samples.look),
      tint=step("tint", samples.tint),
      grain=jnp.where(coin, fresh, samples.grain),
      kind=samples.kind,
    )

  def render(self, samples: Garments) -> jax.Array:
    """Images u8[B,H,W,C]."""
    draw = jax.vmap(lambda one: _draw(one, self.image_shape))
    return in_parts(draw, samples, _AT_ONCE)


def make(
  image_shape: tuple[int, int, int], num_classes: int, options: ApiOptions
) -> GarmentApi:
  """The simulator for one kind of images.

  Args:
    image_shape: (H, W, C).
    num_classes: K, which must be ten.
    options: nothing of it is read.

  Raises:
    UserError: another number of classes.
  """
  del options
  check_shape(image_shape)
  if num_classes != len(patterns.NAMES):
    raise UserError(
      f"num_classes={num_classes}: must be {len(patterns.NAMES)} under"
      f" api='garments': {', '.join(patterns.NAMES)}"
    )
  return GarmentApi(image_shape)


def _draw(one: Garments, shape: tuple[int, int, int]) -> jax.Array:
  """One image u8[H,W,C].

  Args:
    one: leaves without the axis B.
    shape: (H, W, C).
  """
  height, width, _ = shape
  values = {
    name: jitter.between(low, high, one.look[place])
    for place, (name, (low, high)) in enumerate(_RANGES.items())
  }
  x, y = _placed(*_grid(height, width), values)
  table = jax.tree.map(lambda a: jnp.asarray(a)[one.kind], patterns.tables())
  corners = table.corners + jnp.tensordot(one.shape, table.corner_moves, 1)
  brightness = table.brightness + one.shape @ table.brightness_moves
  soft = values["softness"] / (height / 2)
  covered = jnp.clip(0.5 - distances(x, y, corners) / soft, 0, 1)
  cover = lambda ink, layer: (ink + layer[0] * (layer[1] - ink), None)
  ink, _ = lax.scan(cover, jnp.zeros(x.shape), (covered, brightness))
  grey = jnp.clip(ink * _cloth(x, y, values, one.grain), 0, 1)[:, None]
  image = grey * one.tint if len(one.tint) else grey
  return jnp.round(255 * image).reshape(shape).astype(jnp.uint8)


def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
  """Middles of the pixels, x to the right f32[P] and y down f32[P].

  The square [-1, 1] is the whole image, whatever its sides are.
  """
  row = 2 * (np.arange(width) + 0.5) / width - 1
  column = 2 * (np.arange(height) + 0.5) / height - 1
  y, x = np.meshgrid(column, row, indexing="ij")
  return x.ravel().astype(np.float32), y.ravel().astype(np.float32)


def _placed(
  x: np.ndarray, y: np.ndarray, values: dict[str, jax.Array]
) -> tuple[jax.Array, jax.Array]:
  """Points of the image as points of the pattern, x and y f32[P]."""
  away_x, away_y = x - values["right"], y - values["down"]
  cosine, sine = jnp.cos(values["rotation"]), jnp.sin(values["rotation"])
  turned_x = cosine * away_x + sine * away_y
  turned_y = cosine * away_y - sine * away_x
  return turned_x / values["width"], turned_y / values["height"]


def distances(x: jax.Array, y: jax.Array, corners: jax.Array) -> jax.Array:
  """Distances to outlines of simple polygons, below 0 inside: f32[L,P].

  Inside is what a ray to the right leaves an odd number of times. Written edge
  by edge, so that every operation runs over all points of all polygons.

  Args:
    x: f32[P].
    y: f32[P].
    corners: f32[L,V,2], an edge leads from the last to the first.
  """

  def edge(
    seen: tuple[jax.Array, jax.Array], ends: tuple[jax.Array, jax.Array]
  ) -> tuple[tuple[jax.Array, jax.Array], None]:
    nearest, inside = seen
    (x0, y0), (x1, y1) = (end.T[..., None] for end in ends)
    dx, dy = x1 - x0, y1 - y0
    shorter = 1 / jnp.maximum(dx * dx + dy * dy, 1e-12)
    along = jnp.clip(((x - x0) * dx + (y - y0) * dy) * shorter, 0, 1)
    gap = (x - x0 - along * dx) ** 2 + (y - y0 - along * dy) ** 2
    # A level edge is crossed by no ray.
    slope = dx / jnp.where(dy == 0, 1.0, dy)
    crosses = ((y0 <= y) != (y1 <= y)) & (x < x0 + (y - y0) * slope)
    return (jnp.minimum(nearest, gap), inside != crosses), None

  starts = jnp.swapaxes(corners, 0, 1)
  none = jnp.full((len(corners), len(x)), jnp.inf)
  (nearest, inside), _ = lax.scan(
    edge, (none, jnp.zeros(none.shape, bool)), (starts, jnp.roll(starts, -1, 0))
  )
  return jnp.where(inside, -1, 1) * jnp.sqrt(jnp.maximum(nearest, 1e-12))


def _cloth(
  x: jax.Array,
  y: jax.Array,
  values: dict[str, jax.Array],
  grain: jax.Array,
) -> jax.Array:
  """Brightness of the cloth at points of the pattern, f32[P].

  Args:
    x: f32[P].
    y: f32[P].
    values: of the look.
    grain: u32[], names the noise.
  """
  wave = lambda angle, width, phase: jnp.sin(
    width * (jnp.cos(angle) * y + jnp.sin(angle) * x) + phase
  )
  light = 1 + values["light_x"] * x + values["light_y"] * y
  stripes = jnp.maximum(values["stripes"], 0) * wave(
    values["stripe_angle"], values["stripe_width"], values["stripe_phase"]
  )
  folds = values["folds"] * wave(
    values["fold_angle"] + 0.5 * jnp.sin(3 * y), 7.0, values["fold_phase"]
  )
  away = (x - values["print_right"]) ** 2 + (y - values["print_down"]) ** 2
  strength = jnp.where(abs(values["print"]) < _FAINT, 0, values["print"])
  patch = strength * jnp.exp(-((away / values["print_size"] ** 2) ** 2))
  noise = jax.random.normal(jax.random.key(grain), x.shape)
  shade = light * (1 + stripes + folds) + patch + values["grain"] * noise
  return values["cloth"] * shade
