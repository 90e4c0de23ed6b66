"""The generator that makes images of codes.

A linear layer, then twice [double the size, 3x3 convolution], with batch norm
that always reads the batch at hand, and a sigmoid: pixels in [0, 1]. 2,328,899
parameters at 32x32x3, codes of 256 and width 64. Source: Fang et al., arXiv
2112.15278, their code. A side that 4 does not divide is cropped.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from syndata_jax.models import layers

# What the network reads first: it begins anew under `reset_first_layers`.
FIRST = ("linear", "first_norm")
_SLOPE = 0.2  # of the leaky ReLU
_DEVIATION = 0.02  # of weights that begin anew


class Generator(nn.Module):
  """See the module's docstring.

  Attributes:
    shape: (H, W, C) of an image.
    width: channels of the last layer but one.
  """

  shape: tuple[int, int, int]
  width: int

  @nn.compact
  def __call__(self, codes: jax.Array) -> jax.Array:
    """Codes f32[B,D] -> pixels f32[B,H,W,C]."""
    height, width, channels = self.shape
    rows, columns = -(-height // 4), -(-width // 4)
    wide = 2 * self.width
    x = nn.Dense(
      rows * columns * wide,
      kernel_init=layers.UNIFORM.kernel,
      bias_init=layers.UNIFORM.bias(codes.shape[-1]),
      name="linear",
    )(codes)
    x = _norm("first_norm")(x.reshape(-1, rows, columns, wide))
    for number, features in enumerate((wide, self.width)):
      x = layers.Conv(features)(_doubled(x))
      x = nn.leaky_relu(_norm(f"norm_{number}")(x), _SLOPE)
    x = layers.Conv(channels, use_bias=True)(x)
    return nn.sigmoid(x[:, :height, :width])


def generate(generator: Generator, params: Any, codes: jax.Array) -> jax.Array:
  """Pixels f32[B,H,W,C] in [0, 1] of codes f32[B,D], by parameters alone."""
  # Its running statistics are never read.
  pixels, _ = generator.apply(
    {"params": params}, codes, mutable=["batch_stats"]
  )
  return pixels


def init(generator: Generator, key: jax.Array, code_size: int) -> Any:
  """Fresh parameters for codes of that size."""
  return generator.init(key, jnp.zeros((2, code_size)))["params"]


def reset_first_layers(key: jax.Array, params: Any) -> Any:
  """The first layers anew: normal weights of deviation 0.02, no bias."""

  def fresh(number: int, layer: dict[str, jax.Array]) -> dict[str, jax.Array]:
    draw = jax.random.fold_in(key, number)
    return {
      name: jnp.zeros_like(leaf)
      if name == "bias"
      else _DEVIATION * jax.random.normal(draw, leaf.shape, leaf.dtype)
      for name, leaf in layer.items()
    }

  first = {name: fresh(n, params[name]) for n, name in enumerate(FIRST)}
  return {**params, **first}


def _norm(name: str) -> nn.BatchNorm:
  return nn.BatchNorm(use_running_average=False, epsilon=1e-5, name=name)


def _doubled(x: jax.Array) -> jax.Array:
  """Every pixel four times: [B,H,W,C] -> [B,2H,2W,C]."""
  batch, height, width, channels = x.shape
  x = jnp.broadcast_to(
    x[:, :, None, :, None], (batch, height, 2, width, 2, channels)
  )
  return x.reshape(batch, 2 * height, 2 * width, channels)
