"""The convolution for many models: fast under `vmap`, closed under `grad`.

`convolve` is an ordinary two-dimensional convolution. What it adds to XLA's:

- Under `vmap` over weights (an ensemble, per-example gradients, a distilled
  trajectory) it never silently becomes a grouped convolution; a batching rule
  of its own picks the lowering that `lowerings.py` names.
- It is bilinear, so convolution, input gradient and weight gradient form a
  family closed under differentiation: each one's gradients are the other two.
  Each is a `custom_vjp` whose forward rule calls the operation itself, and so
  any order of reverse differentiation works, under any nesting of `vmap`.

Forward-mode differentiation is the one thing missing; `lax` has it.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap

from syndata_jax.models import lowerings
from syndata_jax.models.lowerings import Choice, Dense, Geometry, Lowering

Operation = Callable[[jax.Array, jax.Array], jax.Array]
# (operation, number of models, which operands are theirs, operands) -> result
Fold = Callable[
  [Operation, int, Sequence[bool], jax.Array, jax.Array], jax.Array
]


def convolve(
  x: jax.Array, w: jax.Array, stride: int = 1, lowering: str = "auto"
) -> jax.Array:
  """Convolves images with an odd square kernel, padded by k // 2 with zeros.

  Args:
    x: images [B,H,W,C], any float dtype.
    w: kernel [k,k,C,O] of the same dtype, k odd.
    stride: of both axes.
    lowering: one of `lowerings.NAMES`; how a batched call is computed.

  Returns:
    [B, (H-1)//stride+1, (W-1)//stride+1, O] of the same dtype. bfloat16
    products are accumulated in float32.

  Raises:
    ValueError: the kernel is not odd and square, or channels disagree.
    UserError: no lowering has this name.
  """
  if w.shape[0] != w.shape[1] or w.shape[0] % 2 == 0:
    raise ValueError(f"kernel {w.shape}: must be odd and square")
  if x.ndim != 4 or x.shape[-1] != w.shape[2]:
    raise ValueError(f"images {x.shape} do not fit kernel {w.shape}")
  geometry = Geometry(w.shape[0], stride, x.shape[1], x.shape[2])
  channels, features = w.shape[2:]
  chosen = lowerings.named(lowering, geometry, channels, features)
  return _family(geometry, chosen).forward(x, w)


class _Family(NamedTuple):
  forward: Operation  # C(x, w)
  input_gradient: Operation  # X(g, w)
  weight_gradient: Operation  # W(x, g)


@functools.cache
def _family(geometry: Geometry, lowering: Lowering) -> _Family:
  """The three operations of one geometry, tied together by their gradients."""
  forward = _operation(
    lowerings.forward, geometry, lowering.forward, _fold_forward
  )
  input_gradient = _operation(
    lowerings.input_gradient,
    geometry,
    lowering.input_gradient,
    _fold_input_gradient,
  )
  weight_gradient = _operation(
    lowerings.weight_gradient,
    geometry,
    lowering.weight_gradient,
    _fold_weight_gradient,
  )
  c, x, w = (
    jax.custom_vjp(f) for f in (forward, input_gradient, weight_gradient)
  )
  # y = C(a, b) with a images and b a kernel, and so on: one line of calculus
  # each. `u` is the cotangent of the operation's own result.
  _define(c, lambda a, b, u: (x(u, b), w(a, u)))
  _define(x, lambda a, b, u: (c(u, b), w(u, a)))
  _define(w, lambda a, b, u: (x(b, u), c(a, u)))
  return _Family(c, x, w)


def _define(
  operation: jax.custom_vjp,
  gradients: Callable[..., tuple[jax.Array, jax.Array]],
) -> None:
  operation.defvjp(
    lambda a, b: (operation(a, b), (a, b)),
    lambda residuals, u: gradients(*residuals, u),
  )


def _operation(
  dense: Callable[[jax.Array, jax.Array, Geometry, Dense], jax.Array],
  geometry: Geometry,
  choice: Choice,
  fold: Fold,
) -> Operation:
  """One operation with the batching rule of `choice`.

  Args:
    dense: of one model.
    geometry: of the convolution.
    choice: how it is computed, and for many models.
    fold: how, where only one operand is of many models.
  """

  def single(a: jax.Array, b: jax.Array) -> jax.Array:
    return dense(a, b, geometry, choice.dense)

  operation = custom_vmap(single)

  @operation.def_vmap
  def rule(
    size: int, batched: Sequence[bool], a: jax.Array, b: jax.Array
  ) -> tuple[jax.Array, bool]:
    if batched[0] != batched[1]:
      return fold(operation, size, batched, a, b), True
    if choice.batching == "vmap":
      return jax.vmap(single)(a, b), True
    if choice.batching == "loop":
      return lax.map(lambda pair: operation(*pair), (a, b)), True
    return jnp.stack([operation(a[i], b[i]) for i in range(size)]), True

  return operation


# With only one operand batched, the models' axis is just more images or more
# channels of one larger dense operation.


def _merge(a: jax.Array, axis: int) -> jax.Array:
  """[M,...] -> the leading axis merged into `axis` of the rest, M slowest."""
  a = jnp.moveaxis(a, 0, axis)
  shape = a.shape
  merged = (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :])
  return a.reshape(merged)


def _unmerge(a: jax.Array, size: int, axis: int) -> jax.Array:
  """The inverse of `_merge`."""
  shape = (*a.shape[:axis], size, -1, *a.shape[axis + 1 :])
  return jnp.moveaxis(a.reshape(shape), axis, 0)


def _fold_forward(
  operation: Operation,
  size: int,
  batched: Sequence[bool],
  x: jax.Array,
  w: jax.Array,
) -> jax.Array:
  if batched[0]:
    return _unmerge(operation(_merge(x, 0), w), size, 0)
  return _unmerge(operation(x, _merge(w, 3)), size, 3)


def _fold_input_gradient(
  operation: Operation,
  size: int,
  batched: Sequence[bool],
  g: jax.Array,
  w: jax.Array,
) -> jax.Array:
  if batched[0]:
    return _unmerge(operation(_merge(g, 0), w), size, 0)
  return _unmerge(operation(g, _merge(w, 2)), size, 3)


def _fold_weight_gradient(
  operation: Operation,
  size: int,
  batched: Sequence[bool],
  x: jax.Array,
  g: jax.Array,
) -> jax.Array:
  if batched[0]:
    return _unmerge(operation(_merge(x, 3), g), size, 2)
  return _unmerge(operation(x, _merge(g, 3)), size, 3)
