"""The siamese augmentation.

Images are [B,C,H,W], channels last in memory. Parameters have a first axis of
B, or of 1: then all images get the same. They are drawn here, by PyTorch.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from syndata_jax.benchmarks.pytorch import Tensor

View = Callable[[Tensor], Tensor]  # images -> the augmented ones

_CROP, _CUTOUT, _SCALE, _DEGREES = 0.125, 0.5, 1.2, 15.0


def draw(
  operations: tuple[str, ...],
  count: int,
  shape: tuple[int, int],
  device: Any,
  align_corners: bool = False,
) -> View:
  """One of the operations with its parameters.

  Args:
    operations: as `augmentation.OPERATIONS` names them; () changes nothing.
    count: 1 for the same parameters for all images, or B.
    shape: (H, W).
    device: of the images.
    align_corners: of the rotation.
  """
  import torch

  if not operations:
    return lambda images: images
  name = operations[int(torch.randint(len(operations), ()))]  # on the host

  def uniform() -> Tensor:
    return torch.rand(count, device=device)

  def whole(least: int, most: int) -> Tensor:
    return torch.randint(least, most + 1, (count,), device=device)

  if name == "color":
    return partial(
      color,
      brightness=uniform() - 0.5,
      saturation=2 * uniform(),
      contrast=uniform() + 0.5,
    )
  if name == "crop":
    top, left = (_share(_CROP, side) for side in shape)
    return partial(crop, dy=whole(-top, top), dx=whole(-left, left))
  if name == "cutout":
    y, x = (whole(0, side - _share(_CUTOUT, side) % 2) for side in shape)
    return partial(cutout, y=y, x=x)
  if name == "flip":
    return partial(flip, mirrored=uniform() < 0.5)
  if name == "scale":
    least, most = 1 / _SCALE, _SCALE
    sy, sx = (least + (most - least) * uniform() for _ in "yx")
    return partial(scale, sy=sy, sx=sx)
  angle = math.radians(_DEGREES) * (2 * uniform() - 1)
  return partial(rotate, angle=angle, align_corners=align_corners)


def color(
  images: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor
) -> Tensor:
  """Other colours.

  Args:
    images: [B,C,H,W].
    brightness: f32[n], added.
    saturation: f32[n], factor on the distance to grey.
    contrast: f32[n], factor on the distance to the image's mean.
  """
  brightness, saturation, contrast = (
    p[:, None, None, None] for p in (brightness, saturation, contrast)
  )
  images = images + brightness
  grey = images.mean(1, keepdim=True)
  images = grey + saturation * (images - grey)
  mean = images.mean((1, 2, 3), keepdim=True)
  return mean + contrast * (images - mean)


def crop(images: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
  """The window that starts dy below and dx right of the corner, i64[n]."""
  import torch
  from torch.nn.functional import pad

  height, width = images.shape[-2:]
  if len(dy) == 1:
    top, left = int(dy), int(dx)
    return pad(images, (-left, left, -top, top))
  top, left = (_share(_CROP, side) for side in (height, width))
  padded = pad(images, (left, left, top, top)).permute(0, 2, 3, 1)
  rows = torch.arange(height, device=dy.device) + top + dy[:, None]
  columns = torch.arange(width, device=dx.device) + left + dx[:, None]
  image = torch.arange(len(images), device=dy.device)[:, None, None]
  window = padded[image, rows[:, :, None], columns[:, None, :]]
  return window.permute(0, 3, 1, 2)


def cutout(images: Tensor, y: Tensor, x: Tensor) -> Tensor:
  """Zeros in a rectangle around (y, x), i64[n]."""
  import torch

  def covered(size: int, centre: Tensor) -> Tensor:
    length = _share(_CUTOUT, size)
    first = centre[:, None] - length // 2
    place = torch.arange(size, device=centre.device)
    return (place >= first) & (place < first + length)

  rows, columns = map(covered, images.shape[-2:], (y, x))
  rectangle = rows[:, :, None] & columns[:, None, :]
  return images.masked_fill(rectangle[:, None], 0)


def flip(images: Tensor, mirrored: Tensor) -> Tensor:
  """Left and right exchanged where bool[n] says so."""
  import torch

  if len(mirrored) == 1:
    return images.flip(-1) if mirrored else images
  return torch.where(mirrored[:, None, None, None], images.flip(-1), images)


def scale(images: Tensor, sy: Tensor, sx: Tensor) -> Tensor:
  """Zooms about the centre by factors f32[n]."""
  import torch

  zero = torch.zeros_like(sy)
  return _warp(images, ((sx, zero), (zero, sy)), False)


def rotate(
  images: Tensor, angle: Tensor, align_corners: bool = False
) -> Tensor:
  """Turns about the centre by radians f32[n]."""
  cos, sin = angle.cos(), angle.sin()
  return _warp(images, ((cos, -sin), (sin, cos)), align_corners)


def _warp(
  images: Tensor, matrix: Sequence[Sequence[Tensor]], align_corners: bool
) -> Tensor:
  """The images where a matrix of entries [n] takes the points of the grid."""
  import torch
  from torch.nn.functional import affine_grid, grid_sample

  zero = torch.zeros_like(matrix[0][0])
  rows = [torch.stack((*row, zero), -1) for row in matrix]
  theta = torch.stack(rows, -2).expand(len(images), 2, 3)
  grid = affine_grid(theta, list(images.shape), align_corners)
  return grid_sample(images, grid, align_corners=align_corners)


def _share(ratio: float, size: int) -> int:
  """The pixels of a share of a side, rounded to the nearest."""
  return int(ratio * size + 0.5)
