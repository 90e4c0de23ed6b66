"""3x3 convolutions in a quarter of the multiplications: Winograd's F(4x4, 3x3).

Tiles of 4x4 output pixels are computed from 6x6 input pixels with 36 products
per channel pair instead of 144. Patches, kernels and outputs are transformed
by small constant matrices, which costs additions only; the products become 36
matrix products over channels. Source: Lavin and Gray, arXiv 1509.09308, with
interpolation points 0, 1, -1, 2, -2.

The largest error in float32, in standard deviations of the result, is a few
1e-5, about ten times that of the sum over taps. Shapes as in `lowerings.py`.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_TILE, _PATCH = 4, 6
# Result = OUTPUT ((KERNEL w) * (INPUT x)), in one dimension, 6 products.
_INPUT = np.array(
  [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
  ]
)
_KERNEL = (
  np.array(
    [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]
  )
  / 24
)
_OUTPUT = np.array(
  [
    [1, 1, 1, 1, 1, 0],
    [0, 1, -1, 2, -2, 0],
    [0, 1, 1, 4, 4, 0],
    [0, 1, -1, 8, -8, 1],
  ]
)


def convolve(x: jax.Array, w: jax.Array) -> jax.Array:
  """C(x, w) of stride 1: x [B,H,W,C], w [3,3,C,O] -> [B,H,W,O].

  Sums are float32 at least, whatever the operands are.
  """
  batch, height, width, channels = x.shape
  tiles = _tiles(height, width)
  patches = _patches(_wide(x), tiles)
  kernel = _transform_kernel(_KERNEL, _wide(w)).reshape(_PATCH**2, channels, -1)
  products = jnp.einsum("kbc,kco->kbo", patches, kernel)
  products = products.reshape(_PATCH, _PATCH, batch, *tiles, -1)
  rows = jnp.stack(_combine(_OUTPUT, products), axis=3)
  y = jnp.stack(_combine(_OUTPUT, rows), axis=4)  # [B, H/4, 4, W/4, 4, O]
  y = y.reshape(batch, _TILE * tiles[0], _TILE * tiles[1], -1)
  return y[:, :height, :width].astype(x.dtype)


def weight_gradient(x: jax.Array, g: jax.Array) -> jax.Array:
  """W(x, g) of stride 1: x [B,H,W,C], g [B,H,W,O] -> [3,3,C,O].

  The transpose of `convolve` in w: the same patches, times the transposed
  output transform of g.
  """
  channels, features = x.shape[-1], g.shape[-1]
  tiles = _tiles(*x.shape[1:3])
  patches = _patches(_wide(x), tiles)
  cotangents = _to_patches(_OUTPUT.T, _padded(_wide(g), tiles, 0), tiles)
  products = jnp.einsum("kbc,kbo->kco", patches, cotangents)
  products = products.reshape(_PATCH, _PATCH, channels, features)
  return _transform_kernel(_KERNEL.T, products).astype(x.dtype)


def _wide(a: jax.Array) -> jax.Array:
  return a.astype(jnp.promote_types(a.dtype, jnp.float32))


def _tiles(height: int, width: int) -> tuple[int, int]:
  return -(-height // _TILE), -(-width // _TILE)


def _padded(a: jax.Array, tiles: tuple[int, int], border: int) -> jax.Array:
  """Zeros around: `border` before, and after whole tiles."""
  after = (
    _TILE * count + border - size
    for count, size in zip(tiles, a.shape[1:3], strict=True)
  )
  return jnp.pad(a, ((0, 0), *((border, high) for high in after), (0, 0)))


def _patches(x: jax.Array, tiles: tuple[int, int]) -> jax.Array:
  """Transformed patches of images, [36, B*tiles, C]."""
  return _to_patches(_INPUT, _padded(x, tiles, 1), tiles)


def _to_patches(
  matrix: np.ndarray, a: jax.Array, tiles: tuple[int, int]
) -> jax.Array:
  """Both axes of each patch of a [B,H',W',C] transformed, [36, B*tiles, C]."""
  rows = jnp.stack(_combine(matrix, _taps(a, 1, matrix.shape[1], tiles[0])))
  columns = _taps(rows, 3, matrix.shape[1], tiles[1])
  both = jnp.stack(_combine(matrix, columns), axis=1)
  return both.reshape(_PATCH**2, -1, a.shape[-1])


def _taps(a: jax.Array, axis: int, count: int, tiles: int) -> list[jax.Array]:
  """Pixel 0, 1, ... of every patch along an axis.

  Args:
    a: padded images.
    axis: of the rows or columns.
    count: pixels of a patch.
    tiles: patches along the axis.
  """
  reach = _TILE * (tiles - 1) + 1
  return [lax.slice_in_dim(a, i, i + reach, _TILE, axis) for i in range(count)]


def _transform_kernel(matrix: np.ndarray, w: jax.Array) -> jax.Array:
  """Both axes of kernels transformed, [i,j,C,O] -> [i',j',C,O]."""
  rows = jnp.stack(_combine(matrix, w))
  return jnp.stack(_combine(matrix, rows.swapaxes(0, 1)), axis=1)


def _combine(
  matrix: np.ndarray, parts: Sequence[jax.Array] | jax.Array
) -> list[jax.Array]:
  """Each row of the matrix, times the parts; no product with 0, 1 or -1."""

  def scaled(coefficient: float, part: jax.Array) -> jax.Array:
    if abs(coefficient) == 1:
      return part if coefficient > 0 else -part
    return float(coefficient) * part

  results = []
  for row in matrix:
    terms = [scaled(row[i], parts[i]) for i in np.flatnonzero(row).tolist()]
    results.append(sum(terms[1:], terms[0]))
  return results
