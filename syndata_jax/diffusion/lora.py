"""LoRA: a small change of every layer beside a base that is never touched.

Each `nn.Dense` and `layers.Conv` with weights W goes on as W x + scale B (A x):
A brings the input down to a few numbers, B, which begins at zero, takes them up
again. Adapters are a tree beside the base, and B A is never added to W: so a
thousand fine-tunes read one base. Source: Hu et al., arXiv 2106.09685; of a
convolution A is one of the same kernel and stride, B one of 1x1, as in LyCORIS
(arXiv 2309.14859).
"""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from syndata_jax import validate
from syndata_jax.keys import stream
from syndata_jax.models import layers, watch
from syndata_jax.models.convolution import convolve

_TYPES = (nn.Dense, layers.Conv)


def init(key: jax.Array, base: Any, rank: int) -> dict[str, Any]:
  """Adapters that change nothing yet, of every layer with a kernel.

  Args:
    key: of the first matrices.
    base: parameters of the network, from the layers of this package.
    rank: numbers between A and B; a layer that reads or writes fewer has as
      many as these.

  Returns:
    The tree of the base, `down` [...,I,r] and `up` [r,O] in the place of each
    kernel [...,I,O]; nothing in the place of what else there is.

  Raises:
    UserError: a rank below 1.
  """
  validate.whole(1, rank=rank)
  adapters = {}
  for path, kernel in flatten_dict(base).items():
    if path[-1] != "kernel":
      continue
    *taps, inputs, outputs = kernel.shape
    fan_in = math.prod(taps) * inputs
    size = min(rank, fan_in, outputs)
    bound = math.sqrt(3 / fan_in)
    adapters[*path[:-1], "down"] = jax.random.uniform(
      stream(key, ".".join(path)),
      (*taps, inputs, size),
      minval=-bound,
      maxval=bound,
    )
    adapters[*path[:-1], "up"] = jnp.zeros((size, outputs))
  return unflatten_dict(adapters)


@contextlib.contextmanager
def adapted(adapters: Any, scale: float = 1.0) -> Iterator[None]:
  """Networks called inside the block are the adapted ones.

      with lora.adapted(adapters):
        module.apply({"params": base}, x)

  Args:
    adapters: of the network, see `init`; None for none.
    scale: of what they add.
  """
  if adapters is None:
    yield
    return

  def change(call: watch.Call) -> jax.Array:
    matrices = adapters
    for name in call.module.path:
      matrices = matrices[name]
    down, up = (matrices[n].astype(call.output.dtype) for n in ("down", "up"))
    x = call.inputs[0].astype(call.output.dtype)
    if isinstance(call.module, layers.Conv):
      low = convolve(x, down, call.module.stride, call.module.lowering)
    else:
      low = x @ down
    return call.output + scale * (low @ up)

  with watch.calls(_TYPES, change):
    yield
