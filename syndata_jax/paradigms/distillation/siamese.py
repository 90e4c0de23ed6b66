"""Differentiable siamese augmentation of the images being distilled.

Zhao and Bilen, arXiv 2102.08259, section 3.2. One operation is drawn for the
whole batch. Real and synthetic images that are compared get the same operation
with the same parameters, and the gradient of the comparison reaches the
synthetic pixels through it. All fills are zeros: images are normalised before.

Each operation is a draw of parameters and a function of one image
[H,W,C] and these parameters.
"""

import functools
from collections.abc import Callable
from typing import Any

import dm_pix as pix
import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax.errors import UserError
from syndata_jax.keys import stream

# (H, W, C) of an image, and what an operation draws for it.
Shape = tuple[int, ...]
Parameters = tuple[jax.Array, ...]

OPERATIONS = ("color", "crop", "cutout", "flip", "scale", "rotate")

# As in the authors' code; the first two are shares of height and width.
_CROP = 0.125
_CUTOUT = 0.5
_SCALE = 1.2
_DEGREES = 15.0


def parse(strategy: str) -> tuple[str, ...]:
  """The operations that a strategy such as "color_crop_flip" names.

  Args:
    strategy: distinct names of `OPERATIONS` joined by _, or "" for none.

  Raises:
    UserError: another name, or one given twice.
  """
  names = tuple(strategy.split("_")) if strategy else ()
  if not set(names) <= set(OPERATIONS) or len(set(names)) < len(names):
    raise UserError(
      f"augmentation={strategy!r}: must be names of {', '.join(OPERATIONS)},"
      " each at most once, joined by _"
    )
  return names


def augment(
  key: jax.Array,
  images: jax.Array,
  operations: tuple[str, ...],
  siamese: bool,
  align_corners: bool = False,
) -> jax.Array:
  """The images under one of the operations, drawn for the whole batch.

  Under `vmap` over keys all operations are computed and one is selected.

  Args:
    key: typed key. Two batches of any sizes are treated alike under one key
      if both are siamese.
    images: normalised, floating [B,H,W,C].
    operations: names of `OPERATIONS`; none leaves the images as they are.
    siamese: whether the parameters are one draw for all images; otherwise
      each image has its own.
    align_corners: whether the square in which images are rotated ends at the
      centres of the border pixels (as MTT has it) or at their outer edges (as
      DSA and DM have it). Square images come out the same.

  Returns:
    [B,H,W,C] of the same type.
  """
  if not operations:
    return images

  def branch(name: str, key: jax.Array, images: jax.Array) -> jax.Array:
    draw, transform = _OPERATIONS[name]
    if name == "rotate":
      transform = functools.partial(transform, align_corners=align_corners)
    draw = functools.partial(draw, shape=images.shape[1:], dtype=images.dtype)
    if siamese:
      parameters = draw(key)
      return jax.vmap(lambda image: transform(image, *parameters))(images)
    parameters = jax.vmap(draw)(jax.random.split(key, len(images)))
    return jax.vmap(transform)(images, *parameters)

  chosen = jax.random.randint(stream(key, "operation"), (), 0, len(operations))
  branches = [functools.partial(branch, name) for name in operations]
  return jax.lax.switch(chosen, branches, stream(key, "parameters"), images)


def color(
  image: jax.Array,
  brightness: jax.Array,
  saturation: jax.Array,
  contrast: jax.Array,
) -> jax.Array:
  """Adds brightness, then scales about a pixel's mean and the image's mean.

  Args:
    image: [H,W,C].
    brightness: what is added.
    saturation: factor of the distance from the pixel's mean over channels.
    contrast: factor of the distance from the image's mean.
  """
  image = pix.adjust_brightness(image, brightness)
  grey = image.mean(-1, keepdims=True)
  mean = grey.mean()  # Saturation does not change it.
  return mean + contrast * (grey + saturation * (image - grey) - mean)


def crop(image: jax.Array, dy: jax.Array, dx: jax.Array) -> jax.Array:
  """The window that starts dy below and dx right of the image's corner."""
  height, width, channels = image.shape
  top, left = _share(_CROP, height), _share(_CROP, width)
  padded = jnp.pad(image, ((top, top), (left, left), (0, 0)))
  return jax.lax.dynamic_slice(
    padded, (top + dy, left + dx, 0), (height, width, channels)
  )


def cutout(image: jax.Array, y: jax.Array, x: jax.Array) -> jax.Array:
  """Zeros in a rectangle around (y, x), as far as it lies in the image."""
  rows = _covered(image.shape[0], y)
  columns = _covered(image.shape[1], x)
  return jnp.where((rows[:, None] & columns)[..., None], 0, image)


def flip(image: jax.Array, mirrored: jax.Array) -> jax.Array:
  """Left and right exchanged, or not."""
  return jnp.where(mirrored, pix.flip_left_right(image), image)


def scale(image: jax.Array, sy: jax.Array, sx: jax.Array) -> jax.Array:
  """Zooms about the centre, bilinear; out where a factor is above 1."""
  # Rows and columns apart, as products with matrices: the gradient of a
  # gather is a scatter, which takes longer than all of this.
  height, width, _ = image.shape
  rows = _weights(sy * _centred(height, image.dtype), height)
  columns = _weights(sx * _centred(width, image.dtype), width)
  return jnp.einsum("iy,yxc,jx->ijc", rows, image, columns, precision="highest")


def rotate(
  image: jax.Array, angle: jax.Array, align_corners: bool = False
) -> jax.Array:
  """Turns about the centre by an angle in radians, bilinear.

  The turn is that of the square which the image is stretched to. With aligned
  corners a side of one pixel has no length: its pixels stay on their line,
  and the other side shrinks by the cosine, as in PyTorch's `grid_sample`.

  Args:
    image: [H,W,C].
    angle: of the turn.
    align_corners: as in `augment`.
  """
  height, width, _ = image.shape
  tall, wide = height - align_corners, width - align_corners
  y = _centred(height, image.dtype)[:, None]
  x = _centred(width, image.dtype)
  sin, cos = jnp.sin(angle), jnp.cos(angle)
  if not (tall and wide):
    return _bilinear(image, cos * y, cos * x)
  aspect = wide / tall
  return _bilinear(
    image, cos * y + sin / aspect * x, cos * x - sin * aspect * y
  )


def _bilinear(image: jax.Array, y: jax.Array, x: jax.Array) -> jax.Array:
  """The image at points [H,W] measured from its centre; zeros around it."""
  # A gather: on a CPU a product with a matrix [HW,HW] takes longer, and so
  # does its gradient. It would also have to be one matrix for each image.
  height, width, _ = image.shape
  padded = jnp.pad(image, ((1, 1), (1, 1), (0, 0)))
  y, x = y + (height + 1) / 2, x + (width + 1) / 2
  top, left = jnp.floor(y), jnp.floor(x)
  result = jnp.zeros_like(image)
  for row in (top, top + 1):
    for column in (left, left + 1):
      # A point beyond the border of zeros reads it instead.
      corner = padded.at[
        jnp.clip(row, 0, height + 1).astype(jnp.int32),
        jnp.clip(column, 0, width + 1).astype(jnp.int32),
      ].get(mode="promise_in_bounds")
      weight = (1 - jnp.abs(y - row)) * (1 - jnp.abs(x - column))
      result += weight[..., None] * corner
  return result


def _weights(points: jax.Array, size: int) -> jax.Array:
  """Linear interpolation at points measured from the centre: [points,size]."""
  distance = points[:, None] - _centred(size, points.dtype)
  return jnp.maximum(1 - jnp.abs(distance), 0)


def _centred(size: int, dtype: Any) -> jax.Array:
  """Positions of pixels, measured from the centre."""
  return jnp.arange(size, dtype=dtype) - (size - 1) / 2


def _covered(size: int, centre: jax.Array) -> jax.Array:
  """Which of `size` positions the cut of one axis covers."""
  cut = _share(_CUTOUT, size)
  distance = jnp.arange(size) - centre + cut // 2
  return (distance >= 0) & (distance < cut)


def _share(ratio: float, size: int) -> int:
  return int(ratio * size + 0.5)


def _draw_color(key: jax.Array, shape: Shape, dtype: Any) -> Parameters:
  u = jax.random.uniform(key, (3,), dtype)
  return u[0] - 0.5, 2 * u[1], u[2] + 0.5


def _draw_crop(key: jax.Array, shape: Shape, dtype: Any) -> Parameters:
  largest = np.array([_share(_CROP, size) for size in shape[:2]])
  return tuple(jax.random.randint(key, (2,), -largest, largest + 1))


def _draw_cutout(key: jax.Array, shape: Shape, dtype: Any) -> Parameters:
  # With an even cut the centre lies between pixels: one position more.
  ends = np.array([n + 1 - _share(_CUTOUT, n) % 2 for n in shape[:2]])
  return tuple(jax.random.randint(key, (2,), 0, ends))


def _draw_flip(key: jax.Array, shape: Shape, dtype: Any) -> Parameters:
  return (jax.random.bernoulli(key),)


def _draw_scale(key: jax.Array, shape: Shape, dtype: Any) -> Parameters:
  return tuple(jax.random.uniform(key, (2,), dtype, 1 / _SCALE, _SCALE))


def _draw_rotate(key: jax.Array, shape: Shape, dtype: Any) -> Parameters:
  largest = np.radians(_DEGREES)
  return (jax.random.uniform(key, (), dtype, -largest, largest),)


_OPERATIONS: dict[str, tuple[Callable[..., Any], Callable[..., jax.Array]]] = {
  "color": (_draw_color, color),
  "crop": (_draw_crop, crop),
  "cutout": (_draw_cutout, cutout),
  "flip": (_draw_flip, flip),
  "scale": (_draw_scale, scale),
  "rotate": (_draw_rotate, rotate),
}
