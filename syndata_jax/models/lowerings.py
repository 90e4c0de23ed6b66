"""How one convolution, and a stack of them, becomes matrix products or XLA's.

A convolution y = C(x, w) is bilinear; with its input gradient X(g, w) and its
weight gradient W(x, g) it makes a family of three operations. This file says
how each is computed for one model ("dense") and which way many models take
("batching"). `convolution.py` ties the three together under differentiation.

Shapes: x [B,H,W,C], w [k,k,C,O], g and y [B,H',W',O] with padding k // 2 on
both sides, as PyTorch pads, and H' = (H - 1) // stride + 1.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from syndata_jax.errors import UserError
from syndata_jax.models import winograd

Dense = Literal["xla", "shifted", "im2col", "blocked", "winograd"]
Batching = Literal["vmap", "unroll", "loop"]
Padding = tuple[tuple[int, int], tuple[int, int]]
_NHWC = ("NHWC", "HWIO", "NHWC")


class Geometry(NamedTuple):
  """The static shape of a convolution: odd square kernel, stride, input."""

  kernel: int
  stride: int
  height: int
  width: int


class Choice(NamedTuple):
  """How one operation is computed, and how a stack of models is handled."""

  dense: Dense
  batching: Batching


class Lowering(NamedTuple):
  """A choice for each operation of the family."""

  forward: Choice
  input_gradient: Choice
  weight_gradient: Choice


def _same(dense: Dense, batching: Batching) -> Lowering:
  return Lowering(*[Choice(dense, batching)] * 3)


# Inside a loop body XLA's own CPU weight gradient leaves its fast path (18
# times slower, measured). The blocked one stays on it, and is up to 4 times as
# fast as shifted matrix products.
_CPU_DENSE: tuple[Dense, Dense, Dense] = ("xla", "xla", "blocked")
# Pixels of one block: its patches then stay in a CPU core's cache.
_BLOCK = 8192
_GPU_DENSE: tuple[Dense, Dense, Dense] = ("xla", "xla", "xla")
# On a CPU, from this many channels on, Winograd's transforms cost less than
# they save (measured: 1.5 to 3 times as fast at 32, no gain at 16).
_WIDE = 32
# Below this side an image fills less than half a tile, and XLA's convolution
# is slower than a product of matrices (measured on a CPU: 1.5 times the whole
# step of trajectory matching at 2x2).
_TINY = 3


def _dispatched(backend: str, batching: Batching) -> Lowering:
  dense = _CPU_DENSE if backend == "cpu" else _GPU_DENSE
  return Lowering(*(Choice(kind, batching) for kind in dense))


_NAMED: dict[str, Callable[[str], Lowering]] = {
  "auto": lambda backend: _dispatched(backend, "unroll"),
  "grouped": lambda backend: _same("xla", "vmap"),
  "im2col": lambda backend: _same("im2col", "vmap"),
  "loop": lambda backend: _dispatched(backend, "loop"),
  "shifted": lambda backend: _same("shifted", "vmap"),
  "unrolled": lambda backend: _dispatched(backend, "unroll"),
  "winograd": lambda backend: _dispatched(backend, "unroll"),
}
NAMES = tuple(sorted(_NAMED))


def named(
  name: str,
  geometry: Geometry,
  channels: int,
  features: int,
  backend: str | None = None,
) -> Lowering:
  """The lowering called `name`, for a convolution of C to O channels.

  | name | what becomes of M convolutions |
  |---|---|
  | grouped | XLA's own batching: one convolution with M feature groups |
  | unrolled | M dense operations in one program, the backend's best kind |
  | loop | the same, one after another inside a loop |
  | shifted | k*k shifted matrix products with a batch axis M |
  | im2col | patches, then one matrix product with a batch axis M |
  | winograd | 3x3 of stride 1 in tiles, M a batch axis; others unrolled |
  | auto | the fastest measured for the backend |

  Args:
    name: one of these.
    geometry: of the convolution.
    channels: C, which it reads.
    features: O, which it writes.
    backend: of JAX; by default the one in use.

  Raises:
    UserError: no lowering has this name.
  """
  if name not in _NAMED:
    raise UserError(f"lowering={name!r}: must be one of {', '.join(NAMES)}")
  backend = backend or jax.default_backend()
  pays = backend == "cpu" and min(channels, features) >= _WIDE
  tiny = min(geometry[2:]) < _TINY
  if name == "auto" and pays and tiny:
    return _same("im2col", "vmap")
  fits = geometry[:2] == (3, 1) and not tiny
  if fits and (name == "winograd" or (name == "auto" and pays)):
    return _same("winograd", "vmap")
  return _NAMED[name](backend)


def _accumulator(*arrays: jax.Array) -> jnp.dtype:
  return jnp.promote_types(jnp.result_type(*arrays), jnp.float32)


def _window(
  x: jax.Array, i: int, j: int, stride: int, size: tuple[int, ...]
) -> jax.Array:
  """The pixels of padded x that tap (i, j) meets: [B,H',W',C]."""
  h, w = ((n - 1) * stride + 1 for n in size)
  return x[:, i : i + h : stride, j : j + w : stride, :]


def _windows(
  x: jax.Array, kernel: tuple[int, ...], stride: int, padding: Padding
) -> list[jax.Array]:
  """Padded x as seen by every tap of the kernel, row by row: k*k arrays."""
  config = [(0, 0, 0), *((lo, hi, 0) for lo, hi in padding), (0, 0, 0)]
  x = lax.pad(x, jnp.zeros((), x.dtype), config)
  size = tuple(
    (n - k) // stride + 1 for n, k in zip(x.shape[1:3], kernel, strict=True)
  )
  return [
    _window(x, i, j, stride, size)
    for i in range(kernel[0])
    for j in range(kernel[1])
  ]


def _correlate(
  x: jax.Array, w: jax.Array, stride: int, padding: Padding, dense: Dense
) -> jax.Array:
  """Cross-correlation of x with any kernel w [kh,kw,C,O], any padding."""
  if dense == "xla":
    return lax.conv_general_dilated(
      x, w, (stride, stride), padding, dimension_numbers=_NHWC
    )
  out = _accumulator(x, w)
  windows = _windows(x, w.shape[:2], stride, padding)
  taps = w.reshape(-1, *w.shape[2:])
  if dense == "im2col":
    windows = [jnp.concatenate(windows, axis=-1)]
    taps = taps.reshape(1, -1, w.shape[-1])
  products = [
    jnp.einsum("bhwc,co->bhwo", v, tap, preferred_element_type=out)
    for v, tap in zip(windows, taps, strict=True)
  ]
  return sum(products[1:], products[0]).astype(x.dtype)


def forward(
  x: jax.Array, w: jax.Array, geometry: Geometry, dense: Dense
) -> jax.Array:
  """C(x, w): the convolution itself.

  Args:
    x: [B,H,W,C].
    w: [k,k,C,O].
    geometry: of the convolution.
    dense: how it is computed.

  Returns:
    [B,H',W',O].
  """
  if dense == "winograd":
    return winograd.convolve(x, w)
  p = geometry.kernel // 2
  return _correlate(x, w, geometry.stride, ((p, p), (p, p)), dense)


class _Phase(NamedTuple):
  """Along one axis: which taps make input pixels remainder, remainder + s..."""

  taps: slice
  outputs: int
  padding: tuple[int, int]


def _phase(remainder: int, size: int, geometry: Geometry) -> _Phase:
  k, s, _, _ = geometry
  p = k // 2
  first = (remainder + p) % s
  taps = len(range(first, k, s))
  offset = (remainder + p - first) // s
  count = len(range(remainder, size, s))
  outputs = (size - 1) // s + 1
  low, high = taps - 1 - offset, count - 1 + offset - (outputs - 1)
  return _Phase(slice(first, k, s), count, (low, high))


def input_gradient(
  g: jax.Array, w: jax.Array, geometry: Geometry, dense: Dense
) -> jax.Array:
  """X(g, w): the gradient of C with respect to x.

  A strided convolution's input gradient falls apart into stride * stride
  phases, each an ordinary convolution of g with every stride-th tap: no
  product with an inserted zero is ever computed.

  Args:
    g: cotangent of C's result, [B,H',W',O].
    w: [k,k,C,O].
    geometry: of C.
    dense: how it is computed.

  Returns:
    [B,H,W,C].
  """
  s = geometry.stride
  flipped = jnp.swapaxes(w, 2, 3)
  if dense == "winograd":
    return winograd.convolve(g, flipped[::-1, ::-1])
  rows = [_phase(r, geometry.height, geometry) for r in range(s)]
  columns = [_phase(r, geometry.width, geometry) for r in range(s)]
  batch, channels = g.shape[0], w.shape[2]
  full = rows[0].outputs, columns[0].outputs

  def part(row: _Phase, column: _Phase) -> jax.Array:
    taps = flipped[row.taps, column.taps][::-1, ::-1]
    if 0 in taps.shape:  # a 1x1 kernel never meets the skipped pixels
      return jnp.zeros((batch, *full, channels), g.dtype)
    out = _correlate(g, taps, 1, (row.padding, column.padding), dense)
    missing = full[0] - row.outputs, full[1] - column.outputs
    return jnp.pad(out, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)))

  if s == 1:
    return part(rows[0], columns[0])
  parts = jnp.stack(
    [jnp.stack([part(r, c) for c in columns], axis=3) for r in rows], axis=2
  )  # [B, H/s, s, W/s, s, C]
  whole = parts.reshape(batch, full[0] * s, full[1] * s, channels)
  return whole[:, : geometry.height, : geometry.width]


def weight_gradient(
  x: jax.Array, g: jax.Array, geometry: Geometry, dense: Dense
) -> jax.Array:
  """W(x, g): the gradient of C with respect to w.

  It is itself a convolution, in which channels are the batch, images are the
  channels and g is the kernel. "blocked" transposes both to the one layout
  that XLA's CPU convolution is fast in, some images at a time.

  Args:
    x: [B,H,W,C].
    g: cotangent of C's result, [B,H',W',O].
    geometry: of C.
    dense: how it is computed.

  Returns:
    [k,k,C,O].
  """
  if dense == "winograd":
    return winograd.weight_gradient(x, g)
  k, s, height, width = geometry
  p = k // 2
  # The kernel's own extent fixes how far the last output reaches.
  padding = [(p, k - 1 + (n - 1) // s * s + 1 - n - p) for n in (height, width)]
  if dense == "xla":
    return lax.conv_general_dilated(
      x,
      g,
      (1, 1),
      padding,
      rhs_dilation=(s, s),
      dimension_numbers=("CHWN", "IHWO", "HWNC"),
    )
  if dense == "blocked":

    def block(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
      images, cotangents = pair
      transposed = lax.conv_general_dilated(
        images.transpose(3, 1, 2, 0),
        cotangents.transpose(1, 2, 0, 3),
        (1, 1),
        padding,
        rhs_dilation=(s, s),
        dimension_numbers=_NHWC,
      )
      return transposed.transpose(1, 2, 0, 3)

    most = max(1, _BLOCK // (height * width))
    return _sum_over_blocks(block, x, g, min(most, x.shape[0]))
  out = _accumulator(x, g)
  windows = _windows(x, (k, k), s, ((p, p), (p, p)))
  if dense == "im2col":
    windows = [jnp.concatenate(windows, axis=-1)]
  taps = [
    jnp.einsum("bhwc,bhwo->co", v, g, preferred_element_type=out)
    for v in windows
  ]
  shape = (k, k, x.shape[-1], g.shape[-1])
  return jnp.concatenate(taps).reshape(shape).astype(x.dtype)


def _sum_over_blocks(
  function: Callable[[tuple[jax.Array, jax.Array]], jax.Array],
  x: jax.Array,
  g: jax.Array,
  size: int,
) -> jax.Array:
  """The sum of `function` over blocks of at most `size` images."""
  batch = x.shape[0]
  while batch % size:
    size -= 1
  if size == batch:
    return function((x, g))
  x, g = (a.reshape(batch // size, size, *a.shape[1:]) for a in (x, g))
  return lax.map(function, (x, g)).sum(0)
