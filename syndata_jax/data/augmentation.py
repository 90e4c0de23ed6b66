"""Shifts and flips, in training and in the attack's queries, on the device.

All functions are pure, work on u8 and come before normalisation, so that a
pixel shifted in is black as in Aerni et al. (2024) and not the mean colour.
"""

from collections.abc import Sequence

import dm_pix as pix
import jax
import jax.numpy as jnp

from syndata_jax import keys


def shift_size(height: int) -> int:
  """The largest shift in pixels: 4 at 32, 3 at 28, 1 at 8."""
  return height // 8


def normalise(
  images: jax.Array,
  mean: Sequence[float],
  std: Sequence[float],
  dtype: jax.typing.DTypeLike = jnp.float32,
) -> jax.Array:
  """Pixels scaled to [0, 1], minus the mean, over the standard deviation.

  Args:
    images: u8[..., H, W, C].
    mean: C public means, of pixels in [0, 1].
    std: C public standard deviations.
    dtype: floating type of the result; the arithmetic is at least f32.

  Returns:
    dtype[..., H, W, C].
  """
  working = dtype if jnp.dtype(dtype).itemsize > 4 else jnp.float32
  scaled = images.astype(working) / 255
  centred = scaled - jnp.asarray(mean, working)
  return (centred / jnp.asarray(std, working)).astype(dtype)


def audit_views(images: jax.Array, shift: int, flip: bool) -> jax.Array:
  """The views of each image that the attack queries.

  {as it is, mirrored} x {dy: 0, -shift, shift} x {dx: 0, -shift, shift}, the
  mirror outermost. The crop starts dy below and dx right of the image's own
  corner, zeros beyond its border, and is then mirrored.
  Source: Aerni et al. (2024), 18 views.

  | shift | flip | A |
  |---|---|---|
  | > 0 | yes | 18 |
  | > 0 | no | 9 |
  | 0 | yes | 2 |
  | 0 | no | 1 |

  Args:
    images: u8[Q, H, W, C].
    shift: pixels, below H and W.
    flip: whether to add mirrored views.

  Returns:
    u8[Q, A, H, W, C]; view 0 is the untouched image.
  """
  height, width = images.shape[1:3]
  border = (shift, shift)
  padded = jnp.pad(images, ((0, 0), border, border, (0, 0)))
  offsets = (0, -shift, shift) if shift else (0,)
  views = []
  for dy in offsets:
    for dx in offsets:
      top, left = shift + dy, shift + dx
      views.append(padded[:, top : top + height, left : left + width])
  shifted = jnp.stack(views, axis=1)
  if not flip:
    return shifted
  return jnp.concatenate([shifted, pix.flip_left_right(shifted)], axis=1)


def gather_augmented(
  key: jax.Array, pool: jax.Array, index: jax.Array, shift: int, flip: bool
) -> jax.Array:
  """A batch from the shared pool, each image shifted and mirrored by chance.

  Each image draws its own dy and dx, uniform over the integers in
  [-shift, shift], and is mirrored with probability one half if `flip`. Pixels
  shifted in are zero: black, or the mean colour of a normalised pool. Source:
  He et al. (2016), section 4.2, with the zeros before normalisation.

  Args:
    key: typed key of this model and step.
    pool: u8 or floating [N, H, W, C], shared by all models.
    index: i32[B], rows of the pool.
    shift: pixels; 0 for none.
    flip: whether to mirror.

  Returns:
    [B, H, W, C] of the pool's type.
  """
  if not shift and not flip:
    return pool[index]
  batch, (height, width) = index.shape[0], pool.shape[1:3]
  # The pixel (i, j) of the result is the pool's (row[i], column[j]). Indexing
  # the pool once by pixel beats, under `vmap` over models on a CPU, gathering
  # images first and then slicing each from a padded copy.
  row = jnp.broadcast_to(jnp.arange(height), (batch, height))
  column = jnp.broadcast_to(jnp.arange(width), (batch, width))
  if flip:
    mirrored = jax.random.bernoulli(keys.stream(key, "flip"), shape=(batch, 1))
    column = jnp.where(mirrored, width - 1 - column, column)
  if shift:
    offset = jax.random.randint(
      keys.stream(key, "shift"), (2, batch, 1), -shift, shift + 1
    )
    row, column = row + offset[0], column + offset[1]
  inside_row = (row >= 0) & (row < height)
  inside_column = (column >= 0) & (column < width)
  inside = inside_row[:, :, None] & inside_column[:, None, :]
  # Clipped, an outside index is valid but wrong: `inside` blackens it.
  pixels = pool.at[
    index[:, None, None], row[:, :, None], column[:, None, :]
  ].get(mode="clip")
  return jnp.where(inside[..., None], pixels, 0)
