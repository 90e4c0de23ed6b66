"""The networks of `models/` once more.

Children carry the names that Flax gives their twins, so that weights can be
ported by name; children in lower case (relu, body, ...) have no twin. Only
the normalisation that each network has by default is here.
"""

import functools
import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from syndata_jax.benchmarks.pytorch import Module, Tensor

# Flax's name of a leaf -> PyTorch's.
_LEAVES = {
  "kernel": "weight",
  "scale": "weight",
  "bias": "bias",
  "mean": "running_mean",
  "var": "running_var",
}


def build(
  name: str,
  num_classes: int,
  image_shape: tuple[int, int, int],
  mixed: bool = False,
  **options: int,
) -> Module:
  """The `torch.nn.Module` that computes what `models.create` does.

  Args:
    name: one of `models.NAMES`.
    num_classes: K.
    image_shape: (H, W, C).
    mixed: whether it can also be vmapped in mixed precision, which PyTorch's
      own normalisations, the faster ones where nothing is compiled, cannot.
    **options: width, depth.

  Returns:
    A module that reads images [B,C,H,W], in any memory format, and returns
    logits.
  """
  makers: dict[str, Callable[..., Module]] = {
    "convnet": _convnet,
    "resnet18": _resnet18,
    "wide_resnet": _wide_resnet,
  }
  return makers[name](num_classes, image_shape, mixed, **options)


def port(module: Module, variables: dict[str, Any]) -> None:
  """Copies a Flax network's variables into its PyTorch twin.

  Args:
    module: from `build`.
    variables: `{"params": ..., "batch_stats": ...}` of one model.

  Raises:
    KeyError: a parameter of `module` has no twin.
  """
  import torch

  leaves = {}
  for tree in variables.values():
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
      *scopes, kind = (entry.key for entry in path)
      scopes = [re.sub(r"^[A-Z]\w*Norm_", "Norm_", s) for s in scopes]
      leaves[".".join([*scopes, _LEAVES[kind]])] = np.asarray(leaf)
  channels = 1
  for name, tensor in module.state_dict().items():
    if name.endswith("num_batches_tracked"):
      continue
    scopes = [s for s in name.split(".") if not s.islower()]
    leaf = leaves[".".join([*scopes, name.rpartition(".")[2]])]
    if leaf.ndim == 4:
      leaf = leaf.transpose(3, 2, 0, 1)
      channels = leaf.shape[0]
    elif leaf.ndim == 2:
      # PyTorch flattens [C,H,W], Flax [H,W,C].
      leaf = leaf.reshape(-1, channels, leaf.shape[1])
      leaf = leaf.transpose(2, 1, 0).reshape(leaf.shape[2], -1)
    tensor.copy_(torch.from_numpy(leaf.copy()))


def count_parameters(module: Module) -> int:
  """Trainable numbers of a module."""
  return sum(p.numel() for p in module.parameters())


def _sequence(**children: Module) -> Module:
  """`nn.Sequential` with named children."""
  from torch import nn

  sequence = nn.Sequential()
  for name, child in children.items():
    sequence.add_module(name, child)
  return sequence


@functools.cache
def _residual_class() -> type:
  from torch import nn

  class Residual(nn.Module):
    def __init__(self, body: Module, shortcut: Module) -> None:
      super().__init__()
      self.body, self.shortcut = body, shortcut

    def forward(self, x: Tensor) -> Tensor:
      return self.body(x) + self.shortcut(x)

  return Residual


@functools.cache
def _mixed_instance_norm_class() -> type:
  import torch
  from torch import nn

  class InstanceNorm(nn.Module):
    def __init__(self, features: int) -> None:
      super().__init__()
      self.weight = nn.Parameter(torch.ones(features))
      self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
      wide = x.float()
      var, mean = torch.var_mean(wide, (-2, -1), correction=0, keepdim=True)
      scale = torch.rsqrt(var + 1e-5) * self.weight[:, None, None]
      return ((wide - mean) * scale + self.bias[:, None, None]).to(x.dtype)

  return InstanceNorm


@functools.cache
def _mixed_batch_norm_class() -> type:
  import torch
  from torch import nn

  class BatchNorm(nn.Module):
    def __init__(self, features: int) -> None:
      super().__init__()
      self.weight = nn.Parameter(torch.ones(features))
      self.bias = nn.Parameter(torch.zeros(features))
      self.running_mean = nn.Buffer(torch.zeros(features))
      self.running_var = nn.Buffer(torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
      wide = x.float()
      if self.training:
        var, mean = torch.var_mean(wide, (0, 2, 3), correction=0)
        count = x.numel() // x.shape[1]
        self.running_mean.lerp_(mean.detach(), 0.1)
        self.running_var.lerp_(var.detach() * (count / (count - 1)), 0.1)
      else:
        mean, var = self.running_mean, self.running_var
      scale = torch.rsqrt(var + 1e-5) * self.weight
      shift = self.bias - mean * scale
      return (wide * scale[:, None, None] + shift[:, None, None]).to(x.dtype)

  return BatchNorm


def _batch_norm(features: int, mixed: bool) -> Module:
  from torch import nn

  norm = _mixed_batch_norm_class() if mixed else nn.BatchNorm2d
  return norm(features)


def _conv(
  inputs: int,
  outputs: int,
  kernel: int = 3,
  stride: int = 1,
  bias: bool = False,
) -> Module:
  from torch import nn

  return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=bias)


def _head(inputs: int, num_classes: int) -> dict[str, Module]:
  from torch import nn

  return {
    "flatten": nn.Flatten(),
    "Classifier_0": _sequence(Dense_0=nn.Linear(inputs, num_classes)),
  }


def _convnet(
  num_classes: int,
  image_shape: tuple[int, int, int],
  mixed: bool,
  width: int = 128,
  depth: int = 3,
) -> Module:
  from torch import nn

  def norm() -> Module:
    if mixed:
      return _mixed_instance_norm_class()(width)
    return nn.InstanceNorm2d(width, affine=True)

  *sides, inputs = image_shape
  layers: dict[str, Module] = {}
  for i in range(depth):
    layers[f"Conv_{i}"] = _conv(inputs, width, bias=True)
    layers[f"Norm_{i}"] = norm()
    layers[f"relu_{i}"] = nn.ReLU()
    if min(sides) > 1:
      layers[f"pool_{i}"] = nn.AvgPool2d(2)
      sides = [side // 2 for side in sides]
    inputs = width
  return _sequence(**layers, **_head(width * sides[0] * sides[1], num_classes))


def _strided(sides: tuple[int, int], stride: int) -> tuple[int, int]:
  height, width = ((side - 1) // stride + 1 for side in sides)
  return height, width


def _basic_block(
  inputs: int, features: int, stride: int, mixed: bool
) -> Module:
  from torch import nn

  body = _sequence(
    Conv_0=_conv(inputs, features, stride=stride),
    Norm_0=_batch_norm(features, mixed),
    relu=nn.ReLU(),
    Conv_1=_conv(features, features),
    Norm_1=_batch_norm(features, mixed),
  )
  shortcut = nn.Identity()
  if stride > 1 or inputs != features:
    shortcut = _sequence(
      Conv_2=_conv(inputs, features, 1, stride),
      Norm_2=_batch_norm(features, mixed),
    )
  return _sequence(sum=_residual_class()(body, shortcut), relu=nn.ReLU())


def _resnet18(
  num_classes: int,
  image_shape: tuple[int, int, int],
  mixed: bool,
  width: int = 64,
) -> Module:
  from torch import nn

  layers = {
    "Conv_0": _conv(image_shape[-1], width),
    "Norm_0": _batch_norm(width, mixed),
    "relu": nn.ReLU(),
  }
  sides, inputs = image_shape[:2], width
  for stage in range(4):
    for block in range(2):
      features, stride = width * 2**stage, 2 if stage and not block else 1
      layers[f"BasicBlock_{2 * stage + block}"] = _basic_block(
        inputs, features, stride, mixed
      )
      sides, inputs = _strided(sides, stride), features
  layers["pool"] = nn.AvgPool2d(sides)
  return _sequence(**layers, **_head(inputs, num_classes))


def _activate(features: int, mixed: bool) -> Module:
  from torch import nn

  return _sequence(Norm_0=_batch_norm(features, mixed), relu=nn.ReLU())


def _wide_block(inputs: int, features: int, stride: int, mixed: bool) -> Module:
  from torch import nn

  body = _sequence(
    Activate_0=_activate(inputs, mixed),
    Conv_0=_conv(inputs, features, bias=True),
    Activate_1=_activate(features, mixed),
    Conv_1=_conv(features, features, stride=stride, bias=True),
  )
  shortcut = nn.Identity()
  if stride > 1 or inputs != features:
    shortcut = _sequence(Conv_2=_conv(inputs, features, 1, stride, True))
  return _residual_class()(body, shortcut)


def _wide_resnet(
  num_classes: int,
  image_shape: tuple[int, int, int],
  mixed: bool,
  depth: int = 16,
  width: int = 4,
) -> Module:
  from torch import nn

  layers = {"Conv_0": _conv(image_shape[-1], 16, bias=True)}
  sides, inputs, blocks = image_shape[:2], 16, (depth - 4) // 6
  for group in range(3):
    for block in range(blocks):
      features, stride = 16 * width * 2**group, 2 if group and not block else 1
      layers[f"Block_{group * blocks + block}"] = _wide_block(
        inputs, features, stride, mixed
      )
      sides, inputs = _strided(sides, stride), features
  layers |= {
    "Activate_0": _activate(inputs, mixed),
    "pool": nn.AvgPool2d(sides),
  }
  return _sequence(**layers, **_head(inputs, num_classes))
