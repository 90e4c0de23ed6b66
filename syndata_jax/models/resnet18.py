"""ResNet-18 for small images: 3x3 stem of stride 1, no max-pooling.

Source: He et al., arXiv 1512.03385, section 4.2 for the small-image stem,
with the four stages of the 18-layer network. 11,173,962 parameters at width
64, three channels and ten classes.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from syndata_jax import validate
from syndata_jax.models import layers


class BasicBlock(nn.Module):
  """Two 3x3 convolutions and a shortcut, ReLU after the sum."""

  features: int
  stride: int
  norm: layers.Norm
  conv: type[layers.Conv] | partial

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    y = self.conv(self.features, stride=self.stride)(x)
    y = nn.relu(self.norm(train)(y))
    y = self.norm(train)(self.conv(self.features)(y))
    if x.shape != y.shape:
      x = self.conv(self.features, kernel=1, stride=self.stride)(x)
      x = self.norm(train)(x)
    return nn.relu(x + y)


class ResNet18(nn.Module):
  """See the module's docstring; `width` is that of the first stage."""

  num_classes: int
  width: int
  norm: layers.Norm
  conv: type[layers.Conv] | partial

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    x = nn.relu(self.norm(train)(self.conv(self.width)(x)))
    for stage in range(4):
      for block in range(2):
        stride = 2 if stage > 0 and block == 0 else 1
        features = self.width * 2**stage
        x = BasicBlock(features, stride, self.norm, self.conv)(x, train)
    return layers.Classifier(self.num_classes)(x.mean((1, 2)))


def make(
  num_classes: int,
  width: int = 64,
  norm: str = "batch",
  dtype: jnp.dtype = jnp.float32,
  lowering: str = "auto",
) -> ResNet18:
  """Builds the network; see `syndata_jax.models.create`.

  Args:
    num_classes: K.
    width: channels of the first stage.
    norm: "batch", "group" or "instance".
    dtype: of the computation.
    lowering: how the convolutions are computed.

  Raises:
    UserError: no channel, or no such norm.
  """
  validate.whole(1, width=width)
  conv = partial(layers.Conv, dtype=dtype, lowering=lowering)
  return ResNet18(num_classes, width, layers.norm(norm, dtype), conv)
