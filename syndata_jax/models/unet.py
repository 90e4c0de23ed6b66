"""U-Net: what a class-conditional diffusion model calls with noisy images.

An encoder of residual blocks that halves the sides between its levels, and a
decoder that brings them back and reads the encoder's blocks again. Group norm;
noise level and class scale and shift every block after its second norm.
Sources: Ronneberger et al., arXiv 1505.04597; Ho et al., arXiv 2006.11239; the
blocks of Dhariwal and Nichol, arXiv 2105.05233 (adaptive group norm), smaller:
the decoder has as many blocks of a level as the encoder. It is no classifier.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from syndata_jax import validate
from syndata_jax.errors import UserError
from syndata_jax.models import layers

# Frequencies of the noise features: c_noise = log(sigma) / 4 is a few units
# wide, so that the slowest is monotone and the fastest tells 1% of sigma.
_SLOWEST, _FASTEST = 0.5, 64.0
_HEAD = 64  # channels of an attention head, at most
_zeros = nn.initializers.zeros
# Biases begin at zero, and so does the last layer of each branch.
_START = layers.UNIFORM._replace(bias=lambda _: _zeros)
_ZERO = layers.Start(_zeros, lambda _: _zeros)


class UNet(nn.Module):
  """See the module's docstring and `make`.

  Attributes:
    channels: C of the images.
    num_classes: K; the label K is no class.
    width: channels of the first level.
    multipliers: of the width, one a level.
    blocks: of a level.
    attention: heights of images at which blocks end with self-attention.
    dtype: of the computation.
    lowering: of the convolutions.
  """

  channels: int
  num_classes: int
  width: int
  multipliers: tuple[int, ...]
  blocks: int
  attention: tuple[int, ...]
  dtype: jnp.dtype
  lowering: str

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    noise: jax.Array,
    labels: jax.Array,
    train: bool = False,
  ) -> jax.Array:
    del train  # there is neither batch norm nor dropout
    conv = partial(
      layers.Conv,
      use_bias=True,
      dtype=self.dtype,
      lowering=self.lowering,
      start=_START,
    )
    block = partial(_Block, conv=conv, dtype=self.dtype)
    condition = self._condition(noise, labels)
    last = len(self.multipliers) - 1

    x = conv(self.width)(x.astype(self.dtype))
    skips = []
    for level, multiplier in enumerate(self.multipliers):
      features = multiplier * self.width
      for _ in range(self.blocks):
        x = self._attend(block(features)(x, condition))
        skips.append(x)
      if level < last:
        x = conv(features, stride=2)(x)
    x = self._attend(block(x.shape[-1])(x, condition))
    for level, multiplier in reversed([*enumerate(self.multipliers)]):
      features = multiplier * self.width
      for _ in range(self.blocks):
        x = jnp.concatenate([x, skips.pop()], axis=-1)
        x = self._attend(block(features)(x, condition))
      if level:
        x = conv(features)(_doubled(x, skips[-1].shape))
    x = nn.silu(_norm(x, self.dtype))
    return conv(self.channels, start=_ZERO)(x).astype(jnp.float32)

  def _condition(self, noise: jax.Array, labels: jax.Array) -> jax.Array:
    """[B,4 width], what is known of each image: noise level and class."""
    size = 4 * self.width
    dense = partial(_dense, dtype=self.dtype)
    classes = jax.nn.one_hot(labels, self.num_classes + 1, dtype=self.dtype)
    level = dense(size)(_waves(noise, self.width).astype(self.dtype))
    # A product with one-hot rows is a table that adapters can change, too.
    named = dense(size, use_bias=False)(classes)
    return nn.silu(dense(size)(nn.silu(level + named)))

  def _attend(self, x: jax.Array) -> jax.Array:
    if x.shape[1] not in self.attention:
      return x
    return _Attention(self.dtype)(x)


class _Block(nn.Module):
  """Residual: two convolutions, the condition between them."""

  features: int
  conv: type[layers.Conv] | partial
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array, condition: jax.Array) -> jax.Array:
    norm = lambda y: _norm(y, self.dtype)
    y = self.conv(self.features)(nn.silu(norm(x)))
    both = _dense(2 * self.features, self.dtype)(condition)
    scale, shift = jnp.split(both[:, None, None, :], 2, axis=-1)
    y = nn.silu(norm(y) * (1 + scale) + shift)
    y = self.conv(self.features, start=_ZERO)(y)
    if x.shape[-1] != self.features:
      x = self.conv(self.features, kernel=1)(x)
    return x + y


class _Attention(nn.Module):
  """Residual self-attention between the pixels of an image."""

  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    batch, height, width, channels = x.shape
    heads = -(-channels // _HEAD)
    while channels % heads:
      heads += 1
    y = _norm(x, self.dtype)
    y = _dense(3 * channels, self.dtype)(y)
    y = y.reshape(batch, height * width, 3, heads, channels // heads)
    query, key, value = jnp.moveaxis(y, 2, 0)
    scores = jnp.einsum("bqhc,bkhc->bhqk", query, key).astype(jnp.float32)
    weights = jax.nn.softmax(scores / math.sqrt(channels / heads), axis=-1)
    y = jnp.einsum("bhqk,bkhc->bqhc", weights.astype(self.dtype), value)
    y = _dense(channels, self.dtype, start=_ZERO)(y.reshape(x.shape))
    return x + y


def _norm(x: jax.Array, dtype: jnp.dtype) -> jax.Array:
  """Group norm of at most 8 groups, of 4 channels or more where there are."""
  groups = max(1, math.gcd(x.shape[-1], 32) // 4)
  return nn.GroupNorm(groups, epsilon=1e-5, dtype=dtype)(x)


def _dense(
  features: int,
  dtype: jnp.dtype,
  use_bias: bool = True,
  start: layers.Start = _START,
) -> nn.Dense:
  """A linear layer; its bias begins at zero.

  Args:
    features: that it writes.
    dtype: of the computation.
    use_bias: whether it has one.
    start: of its kernel.
  """
  return nn.Dense(
    features, use_bias=use_bias, dtype=dtype, kernel_init=start.kernel
  )


def _waves(noise: jax.Array, size: int) -> jax.Array:
  """Sines and cosines of the noise level, f32[B,size]."""
  count = -(-size // 2)
  frequencies = jnp.geomspace(_SLOWEST, _FASTEST, count, dtype=jnp.float32)
  angles = noise.astype(jnp.float32)[:, None] * frequencies
  return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=1)[:, :size]


def _doubled(x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """Each pixel four times, cut to the height and width of `shape`."""
  x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
  return x[:, : shape[1], : shape[2]]


def make(
  image_shape: tuple[int, int, int],
  num_classes: int,
  width: int = 32,
  multipliers: tuple[int, ...] = (1, 2),
  blocks: int = 1,
  attention: tuple[int, ...] = (),
  dtype: jnp.dtype = jnp.float32,
  lowering: str = "auto",
) -> UNet:
  """Builds the network for images of any size, odd halves among them.

  Args:
    image_shape: (H, W, C).
    num_classes: K; the label K is "no class", for guidance.
    width: channels of the first level.
    multipliers: of the width, one for each level; sides halve between levels,
      rounded up.
    blocks: residual blocks of each level, in encoder and decoder.
    attention: heights of feature maps whose blocks end with self-attention;
      those that the network does not have are passed over.
    dtype: of the computation; parameters and the result are float32.
    lowering: how the convolutions are computed.

  Returns:
    A module called as `module.apply({"params": params}, x [B,H,W,C],
    noise f32[B], labels i32[B])`; it returns f32[B,H,W,C].

  Raises:
    UserError: a size below 1, no level, or more levels than the sides have
      halves.
  """
  validate.whole(1, num_classes=num_classes, width=width, blocks=blocks)
  for name, numbers in (
    ("multipliers", multipliers),
    ("attention", attention),
  ):
    for number in numbers:
      validate.whole(1, **{name: number})
  height, columns, channels = image_shape
  most = 1 + math.ceil(math.log2(min(height, columns)))
  if not 1 <= len(multipliers) <= most:
    raise UserError(
      f"multipliers={tuple(multipliers)}: must be 1 to {most} numbers, one a"
      f" level, for images of {height} x {columns}"
    )
  return UNet(
    channels,
    num_classes,
    width,
    tuple(multipliers),
    blocks,
    tuple(attention),
    dtype,
    lowering,
  )
