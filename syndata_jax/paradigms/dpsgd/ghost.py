"""Clipped sums without per-example gradients: ghost norms, one backward pass.

The norm of an example's gradient follows from what each layer read and the
gradient of what it wrote. With the norms known, the clipped sum is an
ordinary weight gradient of gradients that were scaled example by example, so
the network is run forwards and backwards only once.

Sources: Goodfellow, arXiv 1510.01799 (norms of linear layers); Li et al.,
arXiv 2110.05679, and Bu et al., arXiv 2205.10683 (ghost norms, and the choice
between them and formed gradients layer by layer); Bu et al., arXiv 2210.00038
(one backward pass).
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from syndata_jax.models.instance_norm import InstanceNorm
from syndata_jax.models.layers import Conv
from syndata_jax.paradigms.dpsgd.tape import Entry, Path

Norms = jax.Array  # f32[B]


def squared_norms(
  entries: dict[Path, Entry], params: Any, views: int
) -> jax.Array:
  """Squared norms of per-example gradients, f32[B // views].

  Args:
    entries: of a batch in which every `views` neighbours are one example,
      whose gradient is the sum of theirs.
    params: of the network.
    views: K.
  """
  norms = [
    _layer_norms(entry, _at(params, path), views)
    for path, entry in entries.items()
  ]
  return jnp.stack(norms).sum(0)


def weighted_sum(
  entries: dict[Path, Entry], params: Any, weights: jax.Array
) -> Any:
  """Sum over images of weight times gradient: a tree like `params`.

  Args:
    entries: of a batch of B images.
    params: of the network.
    weights: f32[B].
  """
  total: dict[str, Any] = {}
  for path, entry in entries.items():
    scale = weights.reshape(-1, *[1] * (entry.g.ndim - 1))
    g = entry.g * scale.astype(entry.g.dtype)
    node = total
    for name in path[:-1]:
      node = node.setdefault(name, {})
    # The result of the layer itself is not used, and so not computed.
    _, pull = jax.vjp(
      lambda own, entry=entry: entry.module.apply({"params": own}, entry.x),
      _at(params, path),
    )
    (node[path[-1]],) = pull(g)
  return total


def _layer_norms(
  entry: Entry, params: dict[str, jax.Array], views: int
) -> Norms:
  module, x, g = entry
  # [B,T,...]: every position of every view of an example.
  grouped = lambda a: a.reshape(a.shape[0] // views, -1, a.shape[-1])
  cotangent = grouped(g)
  total = jnp.zeros(cotangent.shape[0])
  if "bias" in params:
    total += jnp.square(cotangent.sum(1, dtype=jnp.float32)).sum(-1)
  if isinstance(module, (nn.GroupNorm, InstanceNorm)):
    product = grouped(_standardised(module, x) * g.astype(jnp.float32))
    return total + jnp.square(product.sum(1)).sum(-1)
  if isinstance(module, Conv):
    x = _patches(x.astype(g.dtype), module.kernel, module.stride)
  return total + _product_norms(grouped(x), cotangent)


def _product_norms(x: jax.Array, g: jax.Array) -> Norms:
  """Squared norm of the sum over t of x[b,t] outer g[b,t], for each b.

  Either the P x O matrix is formed, or the T x T products of positions with
  each other: whichever is less work.
  """
  t, p, o = x.shape[1], x.shape[2], g.shape[2]
  product = lambda spec, a, b: jnp.einsum(
    spec, a, b, preferred_element_type=jnp.float32
  )
  if t * (p + o) < p * o:
    own = product("bsp,btp->bst", x, x), product("bso,bto->bst", g, g)
    return (own[0] * own[1]).sum((1, 2))
  return jnp.square(product("btp,bto->bpo", x, g)).sum((1, 2))


def _patches(x: jax.Array, kernel: int, stride: int) -> jax.Array:
  """What each output of a convolution reads, [B,H',W',k*k*C]."""
  if kernel == 1:
    return x[:, ::stride, ::stride]
  height, width = x.shape[1:3]
  border = (kernel // 2, kernel // 2)
  x = jnp.pad(x, ((0, 0), border, border, (0, 0)))
  taps = [
    x[:, dy : dy + height : stride, dx : dx + width : stride]
    for dy in range(kernel)
    for dx in range(kernel)
  ]
  return jnp.concatenate(taps, axis=-1)


def _standardised(
  module: nn.GroupNorm | InstanceNorm, x: jax.Array
) -> jax.Array:
  """What a norm computes before its scale and bias, in float32."""
  plain = module.clone(use_scale=False, use_bias=False, dtype=jnp.float32)
  return jnp.asarray(plain.apply({}, x))


def _at(params: Any, path: Path) -> dict[str, jax.Array]:
  for name in path:
    params = params[name]
  return params
