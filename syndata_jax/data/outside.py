"""Real images from elsewhere: canaries and initialisations that are public."""

import pathlib
from collections.abc import Iterable

import numpy as np
import PIL.Image

from syndata_jax import keys, validate
from syndata_jax.data import sources
from syndata_jax.errors import UserError

# The smallest crop, as a part of the largest that fits in the photograph.
_SMALLEST_CROP = 0.125


def outside_images(
  count: int,
  shape: tuple[int, int, int],
  seed: int,
  source: str = "photographs",
  data_dir: str | pathlib.Path | None = None,
  spare: int = 0,
) -> np.ndarray:
  """Real images that have nothing to do with the private ones.

  With one seed, the images of a smaller count are the first of a larger one.

  Args:
    count: how many.
    shape: (H, W, C) of each, C is 1 (grey) or 3 (RGB).
    seed: names the draw.
    source: `photographs` takes crops of random place and scale from the two
      photographs inside scikit-learn, resized to H x W: no download. Any other
      is a name for `load`: a random choice of its training images, resized to
      H x W and turned to grey or RGB where it has another shape.
    data_dir: where that data set's files are.
    spare: how many more, as far as the source has them.

  Returns:
    u8[count to count + spare, H, W, C].

  Raises:
    UserError: C is neither 1 nor 3, `count` is negative or more than the
      source has, or the source cannot be loaded.
  """
  check_shape(shape)
  validate.not_negative(count=count, spare=spare)
  if source == "photographs":
    return crops(keys.generator(seed, "outside.crops"), count + spare, shape)
  pool = sources.load(source, data_dir).train_images
  if count > len(pool):
    raise UserError(
      f"count={count}: must be at most {len(pool)}, the images of {source}"
    )
  order = keys.generator(seed, "outside.rows").permutation(len(pool))
  rows = order[: count + spare]
  return fit((pool[row] for row in rows), shape)


def check_shape(shape: tuple[int, int, int]) -> None:
  """Refuses what images cannot be fitted to.

  Raises:
    UserError: not (H, W, C), or C is neither 1 nor 3.
  """
  if len(shape) != 3 or min(shape) < 1 or shape[2] not in (1, 3):
    raise UserError(f"shape={shape}: must be (H, W, C) with C 1 or 3")


def fit(
  images: Iterable[np.ndarray], shape: tuple[int, int, int]
) -> np.ndarray:
  """Images of any size, resized and turned to grey or RGB where they differ.

  Args:
    images: each u8[h, w, 1 or 3].
    shape: (H, W, C) of all of them, C is 1 or 3.

  Returns:
    u8[count, H, W, C].
  """
  mode = _mode(shape)
  return _stack(
    (_resized(_picture(image, mode), shape) for image in images), shape
  )


def crops(
  random: np.random.Generator, count: int, shape: tuple[int, int, int]
) -> np.ndarray:
  """Parts of scikit-learn's two photographs, of random place and scale.

  Args:
    random: the draws; those of a smaller count are the first ones.
    count: how many.
    shape: (H, W, C) of each, C is 1 or 3.

  Returns:
    u8[count, H, W, C].
  """
  import sklearn.datasets

  names = ("china.jpg", "flower.jpg")
  pictures = [
    _picture(sklearn.datasets.load_sample_image(name), _mode(shape))
    for name in names
  ]
  # One row of four draws per image, so that a count is a prefix of another.
  draws = random.random((count, 4))
  height, width = shape[:2]

  def crop(which: float, scale: float, top: float, left: float) -> np.ndarray:
    picture = pictures[int(which * len(pictures))]
    largest = min(picture.width / width, picture.height / height)
    zoom = largest * (_SMALLEST_CROP + (1 - _SMALLEST_CROP) * scale)
    x = left * (picture.width - zoom * width)
    y = top * (picture.height - zoom * height)
    return _resized(picture, shape, (x, y, x + zoom * width, y + zoom * height))

  return _stack((crop(*row) for row in draws), shape)


def _mode(shape: tuple[int, int, int]) -> str:
  return "L" if shape[2] == 1 else "RGB"


def _picture(pixels: np.ndarray, mode: str) -> PIL.Image.Image:
  """A Pillow image of u8[H, W, 1 or 3], grey (L) or RGB."""
  pixels = pixels[..., 0] if pixels.shape[2] == 1 else pixels
  return PIL.Image.fromarray(pixels).convert(mode)


def _resized(
  picture: PIL.Image.Image,
  shape: tuple[int, int, int],
  box: tuple[float, float, float, float] | None = None,
) -> np.ndarray:
  """A picture as u8[H, W, C], resampled with anti-aliasing.

  Args:
    picture: of the mode that C asks for.
    shape: (H, W, C).
    box: left, top, right and bottom of the part to take; None for all of it.
  """
  height, width = shape[:2]
  # Rounding may push the box a hair over the edge, which Pillow refuses.
  if box is not None:
    left, top, right, bottom = box
    box = (
      max(left, 0.0),
      max(top, 0.0),
      min(right, picture.width),
      min(bottom, picture.height),
    )
  resized = picture.resize(
    (width, height), PIL.Image.Resampling.BICUBIC, box=box
  )
  return np.asarray(resized).reshape(shape)


def _stack(
  images: Iterable[np.ndarray], shape: tuple[int, int, int]
) -> np.ndarray:
  return np.asarray(list(images), np.uint8).reshape(-1, *shape)
