"""WideResNet, pre-activation, in the two forms the privacy papers use.

With batch norm (undefended training): norm, ReLU, convolution; the shortcut
convolves the raw input. With group norm (DP-SGD): ReLU, norm, convolution;
the shortcut convolves the activated input; weights start normal, biases zero.
Convolutions have biases and the second one of a block carries the stride.
Sources: Zagoruyko and Komodakis, arXiv 1605.07146; Aerni et al., arXiv
2404.17399; De et al., arXiv 2204.13650. For WRN-16-4 with three channels and
ten classes: 2,751,146 parameters (batch) and 2,751,562 (group).
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from syndata_jax import validate
from syndata_jax.errors import UserError
from syndata_jax.models import layers


class Activate(nn.Module):
  """Norm and ReLU, in the order of the form."""

  norm: layers.Norm
  relu_first: bool

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    if self.relu_first:
      return self.norm(train)(nn.relu(x))
    return nn.relu(self.norm(train)(x))


class Block(nn.Module):
  """Two activated 3x3 convolutions and a shortcut."""

  features: int
  stride: int
  activate: Callable[[], Activate]
  conv: type[layers.Conv] | partial
  activate_shortcut: bool

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    y = self.conv(self.features)(self.activate()(x, train))
    y = self.activate()(y, train)
    y = self.conv(self.features, stride=self.stride)(y)
    if x.shape != y.shape:
      if self.activate_shortcut:
        x = self.activate()(x, train)
      x = self.conv(self.features, kernel=1, stride=self.stride)(x)
    return x + y


class WideResNet(nn.Module):
  """See the module's docstring."""

  num_classes: int
  width: int
  blocks: int
  activate: Callable[[], Activate]
  conv: type[layers.Conv] | partial
  classifier: type[layers.Classifier] | partial
  activate_shortcut: bool

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    x = self.conv(16)(x)
    for group in range(3):
      for block in range(self.blocks):
        x = Block(
          16 * self.width * 2**group,
          2 if group > 0 and block == 0 else 1,
          self.activate,
          self.conv,
          self.activate_shortcut,
        )(x, train)
    x = self.activate()(x, train)
    return self.classifier(self.num_classes)(x.mean((1, 2)))


def make(
  num_classes: int,
  depth: int = 16,
  width: int = 4,
  norm: str = "batch",
  dtype: jnp.dtype = jnp.float32,
  lowering: str = "auto",
) -> WideResNet:
  """Builds WRN-depth-width; depth is 6 n + 4, `width` multiplies 16.

  Args:
    num_classes: K.
    depth: of the convolutions, in number.
    width: how many times 16 channels the first group has.
    norm: "batch" or "group".
    dtype: of the computation.
    lowering: how the convolutions are computed.

  Raises:
    UserError: another depth, no channel, or a norm other than batch and group.
  """
  validate.whole(10, depth=depth)
  validate.whole(1, width=width)
  if (depth - 4) % 6:
    raise UserError(f"depth={depth}: a WideResNet has 10, 16, 22, 28, ...")
  if norm not in ("batch", "group"):
    raise UserError(f"norm={norm!r}: wide_resnet accepts batch or group")
  group = norm == "group"
  start = layers.NORMAL if group else layers.UNIFORM
  return WideResNet(
    num_classes,
    width,
    (depth - 4) // 6,
    partial(Activate, layers.norm(norm, dtype), group),
    partial(
      layers.Conv, use_bias=True, dtype=dtype, lowering=lowering, start=start
    ),
    partial(layers.Classifier, start=start),
    group,
  )
