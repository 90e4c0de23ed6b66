"""Layers the networks share, with PyTorch's initialisation.

Networks receive their norm and convolution as constructor arguments. The
recipes this project reproduces were tuned in PyTorch, so weights and biases
start as its layers do: uniform within 1 / sqrt(fan_in).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from syndata_jax.errors import UserError
from syndata_jax.models.convolution import convolve
from syndata_jax.models.instance_norm import InstanceNorm

_GROUPS = 16
# norm(train) -> what is applied to [B,H,W,C], inside a compact method
Norm = Callable[[bool], Callable[[jax.Array], jax.Array]]
Initializer = Callable[..., jax.Array]  # (key, shape) -> the first weights


class Start(NamedTuple):
  """How a layer's weights and biases begin."""

  kernel: Initializer
  bias: Callable[[int], Initializer]  # of the fan-in


def _uniform_bias(fan_in: int) -> Initializer:
  bound = 1 / math.sqrt(fan_in)

  def init(
    key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32
  ) -> jax.Array:
    return jax.random.uniform(key, shape, dtype, -bound, bound)

  return init


_scaled = nn.initializers.variance_scaling
# PyTorch's layers: both uniform within 1 / sqrt(fan_in).
UNIFORM = Start(_scaled(1 / 3, "fan_in", "uniform"), _uniform_bias)
# The private networks of De et al.: normal weights, biases at zero.
NORMAL = Start(
  _scaled(1.0, "fan_in", "normal"), lambda _: nn.initializers.zeros
)


class Conv(nn.Module):
  """A convolution padded by kernel // 2, computed in `dtype`."""

  features: int
  kernel: int = 3
  stride: int = 1
  use_bias: bool = False
  dtype: jnp.dtype = jnp.float32
  lowering: str = "auto"
  start: Start = UNIFORM

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    shape = (self.kernel, self.kernel, x.shape[-1], self.features)
    w = self.param("kernel", self.start.kernel, shape)
    x, w = x.astype(self.dtype), w.astype(self.dtype)
    y = convolve(x, w, self.stride, self.lowering)
    if not self.use_bias:
      return y
    bias = self.param(
      "bias", self.start.bias(math.prod(shape[:3])), (self.features,)
    )
    return y + bias.astype(self.dtype)


class Classifier(nn.Module):
  """The last linear layer; logits are float32 whatever the input is."""

  num_classes: int
  start: Start = UNIFORM

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    bias = self.start.bias(x.shape[-1])
    return nn.Dense(
      self.num_classes, kernel_init=self.start.kernel, bias_init=bias
    )(x.astype(jnp.float32))


def average_pool(x: jax.Array) -> jax.Array:
  """Mean over 2x2 blocks, [B,H,W,C] -> [B,H//2,W//2,C].

  A reshape and a mean: their gradient is a broadcast, while the gradient of
  a pooling window is a scatter that does not batch over models.
  """
  b, h, w, c = x.shape
  x = x[:, : h // 2 * 2, : w // 2 * 2, :]
  return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def norm(kind: str, dtype: jnp.dtype) -> Norm:
  """The normalisation called `kind`: batch, group or instance.

  Group norm has 16 groups (De et al., arXiv 2204.13650), or the largest power
  of two that divides the channels where 16 does not.

  Args:
    kind: its name.
    dtype: of the computation.

  Raises:
    UserError: no normalisation has this name.
  """
  if kind == "batch":
    # PyTorch's momentum of 0.1 weighs the new batch; Flax weighs the old mean.
    return lambda train: nn.BatchNorm(
      use_running_average=not train, momentum=0.9, epsilon=1e-5, dtype=dtype
    )
  if kind == "group":
    return lambda train: (
      lambda x: nn.GroupNorm(
        math.gcd(_GROUPS, x.shape[-1]), epsilon=1e-5, dtype=dtype
      )(x)
    )
  if kind == "instance":
    return lambda train: InstanceNorm(dtype=dtype)
  raise UserError(f"norm={kind!r}: must be one of batch, group, instance")
