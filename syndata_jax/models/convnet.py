"""ConvNet, the small network of the data-set distillation literature.

Three times [3x3 convolution, instance norm, ReLU, 2x2 average pooling], then
a linear layer. Source: Gidaris and Komodakis, CVPR 2018; Zhao and Bilen,
arXiv 2110.04181, where it is called ConvNetD3. 320,010 parameters at depth 3,
width 128, 32x32x3 images and ten classes.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from syndata_jax import validate
from syndata_jax.models import layers


class ConvNet(nn.Module):
  """See the module's docstring; `norm(train)` makes each normalisation."""

  num_classes: int
  width: int
  depth: int
  norm: layers.Norm
  conv: type[layers.Conv] | partial

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    for _ in range(self.depth):
      x = self.conv(self.width, use_bias=True)(x)
      x = nn.relu(self.norm(train)(x))
      # A side of one pixel has nothing left to pool.
      if min(x.shape[1:3]) > 1:
        x = layers.average_pool(x)
    return layers.Classifier(self.num_classes)(x.reshape(x.shape[0], -1))


def make(
  num_classes: int,
  width: int = 128,
  depth: int = 3,
  norm: str = "instance",
  dtype: jnp.dtype = jnp.float32,
  lowering: str = "auto",
) -> ConvNet:
  """Builds the network; see `syndata_jax.models.create`.

  Args:
    num_classes: K.
    width: channels of every convolution.
    depth: number of convolutions.
    norm: "instance", "group" or "batch".
    dtype: of the computation.
    lowering: how the convolutions are computed.

  Raises:
    UserError: no convolution or no channel, or no such norm.
  """
  validate.whole(1, width=width, depth=depth)
  conv = partial(layers.Conv, dtype=dtype, lowering=lowering)
  return ConvNet(num_classes, width, depth, layers.norm(norm, dtype), conv)
