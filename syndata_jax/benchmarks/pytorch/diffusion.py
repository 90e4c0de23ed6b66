"""The diffusion model once more: U-Net, Heun's sampler, training step.

Children carry the names that Flax gives their twins. The network computes in
channels_last; attention is PyTorch's own; sampling runs in inference mode, Adam
and the average of the weights are the fused and the foreach form. One model
follows the other.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from syndata_jax.benchmarks.harness.record import Job
from syndata_jax.benchmarks.pytorch import Module, Tensor, peers
from syndata_jax.diffusion import edm
from syndata_jax.diffusion.model import DiffusionOptions

# Flax's name of a leaf -> PyTorch's.
_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias"}
# Of the features of a noise level, see `models.unet`.
_SLOWEST, _FASTEST = 0.5, 64.0
_HEAD = 64


def build(
  options: DiffusionOptions,
  image_shape: tuple[int, int, int],
  num_classes: int,
) -> Module:
  """The `torch.nn.Module` that computes what `model.make_network` does.

  Args:
    options: its sizes.
    image_shape: (H, W, C).
    num_classes: K; the label K is no class.

  Returns:
    A module called as `module(x [B,C,H,W], noise [B], labels i64[B])`.
  """
  return _unet_class()(options, image_shape, num_classes)


def port(module: Module, params: Any) -> None:
  """Copies the parameters of a Flax U-Net into its twin.

  Raises:
    KeyError: a parameter of `module` has no twin.
  """
  import torch

  leaves = {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    *scopes, kind = (entry.key for entry in path)
    leaves[".".join([*scopes, _LEAVES[kind]])] = np.asarray(leaf)
  with torch.no_grad():
    for name, tensor in module.named_parameters():
      leaf = leaves[name]
      axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(leaf.ndim, (0,))
      tensor.copy_(torch.from_numpy(leaf.transpose(axes).copy()))


@functools.cache
def _named_class() -> type:
  """A module whose children are numbered by their kind, as Flax does."""
  from torch import nn

  class Named(nn.Module):
    def add(self, kind: str, child: Module) -> Module:
      number = sum(n.rpartition("_")[0] == kind for n in self._modules)
      self.add_module(f"{kind}_{number}", child)
      return child

    def conv(
      self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1
    ) -> Module:
      conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
      return self.add("Conv", conv)

    def dense(self, inputs: int, outputs: int, bias: bool = True) -> Module:
      return self.add("Dense", nn.Linear(inputs, outputs, bias))

    def norm(self, features: int) -> Module:
      groups = max(1, math.gcd(features, 32) // 4)
      norm = nn.GroupNorm(groups, features, eps=1e-5)
      return self.add("GroupNorm", norm)

  return Named


@functools.cache
def _block_class() -> type:
  from torch.nn.functional import silu

  class Block(_named_class()):  # type: ignore[misc]
    def __init__(self, inputs: int, features: int, condition: int) -> None:
      super().__init__()
      self._before = self.norm(inputs)
      self._first = self.conv(inputs, features)
      self._both = self.dense(condition, 2 * features)
      self._between = self.norm(features)
      self._second = self.conv(features, features)
      self._shortcut = (
        self.conv(inputs, features, kernel=1) if inputs != features else None
      )

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
      y = self._first(silu(self._before(x)))
      scale, shift = self._both(condition)[:, :, None, None].chunk(2, dim=1)
      y = silu(self._between(y) * (1 + scale) + shift)
      y = self._second(y)
      return (x if self._shortcut is None else self._shortcut(x)) + y

  return Block


@functools.cache
def _attention_class() -> type:
  from torch.nn.functional import scaled_dot_product_attention

  class Attention(_named_class()):  # type: ignore[misc]
    def __init__(self, channels: int) -> None:
      super().__init__()
      heads = -(-channels // _HEAD)
      while channels % heads:
        heads += 1
      self._heads = heads
      self._norm = self.norm(channels)
      self._read = self.dense(channels, 3 * channels)
      self._write = self.dense(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
      batch, channels, height, width = x.shape
      # A view: channels are last in memory.
      y = self._norm(x).permute(0, 2, 3, 1).reshape(batch, -1, channels)
      y = self._read(y).reshape(batch, height * width, 3, self._heads, -1)
      y = scaled_dot_product_attention(*y.permute(2, 0, 3, 1, 4))
      y = self._write(y.transpose(1, 2).reshape(batch, height, width, channels))
      return x + y.permute(0, 3, 1, 2)

  return Attention


@functools.cache
def _unet_class() -> type:
  import torch
  from torch.nn.functional import one_hot, silu

  class UNet(_named_class()):  # type: ignore[misc]
    def __init__(
      self,
      options: DiffusionOptions,
      image_shape: tuple[int, int, int],
      num_classes: int,
    ) -> None:
      super().__init__()
      height, _, channels = image_shape
      width, size = options.width, 4 * options.width
      self._num_classes, self._width = num_classes, width
      self._level = self.dense(width, size)
      self._class = self.dense(num_classes + 1, size, bias=False)
      self._condition = self.dense(size, size)
      waves = np.geomspace(_SLOWEST, _FASTEST, -(-width // 2))
      frequencies = torch.from_numpy(waves.astype(np.float32))
      self.register_buffer("frequencies", frequencies, persistent=False)

      def stage(inputs: int, features: int) -> list[Module]:
        block = self.add("_Block", _block_class()(inputs, features, size))
        if height not in options.attention:
          return [block]
        return [block, self.add("_Attention", _attention_class()(features))]

      self._first = self.conv(channels, width)
      inputs, skips, heights = width, [], [height]
      last = len(options.multipliers) - 1
      self._down: list[tuple[list[list[Module]], Module | None]] = []
      for level, multiplier in enumerate(options.multipliers):
        stages = []
        for _ in range(options.blocks):
          stages.append(stage(inputs, multiplier * width))
          inputs = multiplier * width
          skips.append(inputs)
        halved = self.conv(inputs, inputs, stride=2) if level < last else None
        self._down.append((stages, halved))
        if level < last:
          height = -(-height // 2)
          heights.append(height)
      self._middle = stage(inputs, inputs)
      self._up: list[tuple[list[list[Module]], Module | None]] = []
      for level in range(last, -1, -1):
        features = options.multipliers[level] * width
        height, stages = heights[level], []
        for _ in range(options.blocks):
          stages.append(stage(inputs + skips.pop(), features))
          inputs = features
        doubled = self.conv(features, features) if level else None
        self._up.append((stages, doubled))
      self._norm = self.norm(inputs)
      self._last = self.conv(inputs, channels)

    def forward(self, x: Tensor, noise: Tensor, labels: Tensor) -> Tensor:
      angles = noise[:, None] * self.frequencies
      waves = torch.cat([angles.sin(), angles.cos()], 1)[:, : self._width]
      classes = one_hot(labels, self._num_classes + 1).to(x.dtype)
      condition = silu(self._level(waves) + self._class(classes))
      condition = silu(self._condition(condition))

      def through(stage: list[Module], x: Tensor) -> Tensor:
        block, *attention = stage
        x = block(x, condition)
        return attention[0](x) if attention else x

      x, skips = self._first(x), []
      for stages, halved in self._down:
        for stage in stages:
          x = through(stage, x)
          skips.append(x)
        x = x if halved is None else halved(x)
      x = through(self._middle, x)
      for stages, doubled in self._up:
        for stage in stages:
          x = through(stage, torch.cat([x, skips.pop()], 1))
        if doubled is not None:
          x = torch.nn.functional.interpolate(x, scale_factor=2.0)
          height, width = skips[-1].shape[2:]
          x = doubled(x[:, :, :height, :width])
      return self._last(silu(self._norm(x)))

  return UNet


def denoised(
  network: Callable[[Tensor, Tensor, Tensor], Tensor],
  x: Tensor,
  sigma: Tensor,
  labels: Tensor,
) -> Tensor:
  """EDM's denoiser, see `diffusion.edm.precondition`.

  Args:
    network: from `build`, or compiled.
    x: noisy images [B,C,H,W].
    sigma: [B].
    labels: i64[B].
  """
  noise, sigma = sigma.log() / 4, sigma[:, None, None, None]
  total = sigma**2 + edm.SIGMA_DATA**2
  out = sigma * edm.SIGMA_DATA / total.sqrt()
  said = network(x / total.sqrt(), noise, labels)
  return edm.SIGMA_DATA**2 / total * x + out * said


def sample(
  network: Callable[[Tensor, Tensor, Tensor], Tensor],
  noise: Tensor,
  labels: Tensor,
  sigmas: Sequence[float],
) -> Tensor:
  """Heun's deterministic sampler, see `diffusion.sampler.sample`.

  Args:
    network: from `build`, or compiled.
    noise: [B,C,H,W], scaled by the first sigma.
    labels: i64[B].
    sigmas: descending, the last 0.
  """

  def slope(x: Tensor, sigma: float) -> Tensor:
    level = x.new_full((len(x),), sigma)
    return (x - denoised(network, x, level, labels)) / sigma

  x = noise
  for sigma, after in itertools.pairwise(sigmas):
    first = slope(x, sigma)
    there = x + (after - sigma) * first
    if after:
      mean = (first + slope(there, after)) / 2
      there = x + (after - sigma) * mean
    x = there
  return x


def sampling(
  options: DiffusionOptions,
  image_shape: tuple[int, int, int],
  num_classes: int,
  batch: int,
  steps: int,
  compiler: str | None,
) -> Job:
  """A round samples a batch of one model.

  Args:
    options: of the network.
    image_shape: (H, W, C).
    num_classes: K.
    batch: images.
    steps: N of the sampler.
    compiler: mode of `torch.compile` for the network, None for eager.

  Raises:
    NotRun: PyTorch is missing.
  """
  peers.require_torch()
  import torch

  device = peers.device()
  module = _placed(options, image_shape, num_classes)
  network = module
  if compiler:
    network = torch.compile(module, mode=compiler, dynamic=False)
  sigmas = edm.schedule(steps).tolist()
  height, width, channels = image_shape
  labels = torch.arange(batch, device=device) % num_classes

  def run() -> None:
    with torch.inference_mode():
      noise = torch.randn(batch, channels, height, width, device=device)
      noise = sigmas[0] * noise.to(memory_format=torch.channels_last)
      images = sample(network, noise, labels, sigmas)
      ((images + 1) * 127.5).clamp(0, 255).round().to(torch.uint8).cpu()

  return Job(peers.guarded(run), batch)


def training(
  options: DiffusionOptions,
  image_shape: tuple[int, int, int],
  num_classes: int,
  steps: int,
  compiler: str | None,
) -> Job:
  """A round trains one model for so many steps.

  Args:
    options: of network and training.
    image_shape: (H, W, C).
    num_classes: K.
    steps: of a round.
    compiler: as in `sampling`.

  Raises:
    NotRun: PyTorch is missing.
  """
  peers.require_torch()
  import torch

  device, batch = peers.device(), options.diffusion_batch
  module = _placed(options, image_shape, num_classes)
  height, width, channels = image_shape
  size = steps * batch
  shape = size, channels, height, width
  pool = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
  pool = pool.to(memory_format=torch.channels_last)
  labels = torch.randint(0, num_classes, (size,), device=device)
  step = training_step(module, options, num_classes, compiler)

  def run() -> None:
    for index in torch.randperm(size, device=device).split(batch):
      step(pool[index], labels[index])

  return Job(peers.guarded(run), size)


def training_step(
  module: Module,
  options: DiffusionOptions,
  num_classes: int,
  compiler: str | None = None,
) -> Callable[[Tensor, Tensor], Tensor]:
  """`(pixels u8[B,C,H,W], labels i64[B]) -> loss`; the module is trained.

  Args:
    module: from `build`.
    options: of training.
    num_classes: the label that is no class.
    compiler: as in `sampling`.
  """
  import torch

  params = list(module.parameters())
  average = [p.detach().clone() for p in params]
  rate = options.diffusion_learning_rate
  optimizer = torch.optim.Adam(params, lr=rate, fused=True)
  network = module
  if compiler:
    network = torch.compile(module, mode=compiler, dynamic=False)

  def step(pixels: Tensor, labels: Tensor) -> Tensor:
    device, count = pixels.device, len(labels)
    images = pixels.float() / 127.5 - 1
    hidden = torch.rand(count, device=device) < options.label_drop
    labels = torch.where(hidden, num_classes, labels)
    sigma = torch.exp(1.2 * torch.randn(count, device=device) - 1.2)
    noisy = images + sigma[:, None, None, None] * torch.randn_like(images)
    errors = (denoised(network, noisy, sigma, labels) - images).square()
    total = sigma**2 + edm.SIGMA_DATA**2
    weight = total / (sigma * edm.SIGMA_DATA) ** 2
    loss = (weight * errors.mean((1, 2, 3))).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
      torch._foreach_lerp_(average, params, 1 - options.diffusion_ema)
    return loss.detach()

  return step


def _placed(
  options: DiffusionOptions,
  image_shape: tuple[int, int, int],
  num_classes: int,
) -> Any:
  """A fresh network on the device, channels last."""
  import torch

  module = build(options, image_shape, num_classes)
  return module.to(peers.device(), memory_format=torch.channels_last)
