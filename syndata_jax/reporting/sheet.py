"""A picture of images by class, such as the synthetic ones of a model."""

import numpy as np
from PIL import Image

from syndata_jax import files

_COLUMNS = 20  # the most of a class
_LEAST = 48  # pixels of a side, to be looked at
_GAP = 2


def image_sheet(
  path: files.Path, images: np.ndarray, labels: np.ndarray
) -> None:
  """Writes `draw_sheet(images, labels)` as a PNG, all or nothing.

  Its owner alone may read it: a model may have learned from private images.
  """
  with files.write_stream(path, files.PRIVATE) as stream:
    Image.fromarray(draw_sheet(images, labels)).save(stream, format="png")


def draw_sheet(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """One row for each class, at most twenty images of it, white between them.

  Args:
    images: f32[S, H, W, C], C 1 or 3; below 0 is shown black, above 1 white.
    labels: i32[S].

  Returns:
    u8[height, width, 3]. Small images are enlarged without smoothing.
  """
  _, height, width, channels = images.shape
  classes = [images[labels == k][:_COLUMNS] for k in np.unique(labels)]
  times = -(-_LEAST // min(height, width))
  tall, wide = times * height + _GAP, times * width + _GAP
  columns = max(map(len, classes))
  sheet = np.full(
    (len(classes) * tall - _GAP, columns * wide - _GAP, 3), 255, np.uint8
  )
  for row, members in enumerate(classes):
    for column, image in enumerate(np.clip(members, 0, 1)):
      shown = np.rint(255 * image).astype(np.uint8)
      shown = shown.repeat(times, 0).repeat(times, 1).repeat(3 // channels, 2)
      top, left = row * tall, column * wide
      sheet[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
  return sheet
