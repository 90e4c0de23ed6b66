"""The same training as a good PyTorch user writes it.

Pixels lie on the device as u8 and are drawn, shifted, mirrored and normalised
there; networks compute in channels_last; SGD is the fused one; on a GPU
everything goes through `torch.compile` and, for bfloat16, autocast. Models are
trained one after another, or all at once through `torch.func`.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from syndata_jax.benchmarks.workload import MEAN, STD
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import Recipe

# step(images u8[B,H,W,C], labels i64[B], learning rate) -> the loss; with a
# leading axis M on all arrays in the vmapped form.
Step = Callable[[Any, Any, float], Any]


class Pool(NamedTuple):
  """What all models share, on the device."""

  images: Any  # u8[N, H + 2 shift, W + 2 shift, C], the border black
  labels: Any  # i64[N]


def make_pool(data: TrainingSet, shift: int, device: Any) -> Pool:
  """Moves the pool to the device, its border already added."""
  import torch

  border = ((0, 0), (shift, shift), (shift, shift), (0, 0))
  images = torch.from_numpy(np.pad(data.images, border)).to(device)
  return Pool(images, torch.from_numpy(data.labels).long().to(device))


def gather_augmented(images: Any, index: Any, shift: int, flip: bool) -> Any:
  """A batch, each image with its own shift and mirror: u8[B,H,W,C].

  Args:
    images: of `Pool`, with the border.
    index: i64[B].
    shift: width of the border.
    flip: whether to mirror.
  """
  import torch

  if not shift and not flip:
    return images[index]
  device, batch = index.device, (len(index), 1)
  height, width = (side - 2 * shift for side in images.shape[1:3])
  row = torch.arange(height, device=device).expand(len(index), height)
  column = torch.arange(width, device=device).expand(len(index), width)
  if flip:
    mirrored = torch.rand(batch, device=device) < 0.5
    column = torch.where(mirrored, width - 1 - column, column)
  top = torch.randint(0, 2 * shift + 1, batch, device=device)
  left = torch.randint(0, 2 * shift + 1, batch, device=device)
  row, column = row + top, column + left
  return images[index[:, None, None], row[:, :, None], column[:, None, :]]


def normalise(images: Any) -> Any:
  """u8[...,H,W,C] -> f32[...,C,H,W], channels last in memory."""
  # All channels have the same mean and deviation here.
  scaled = (images.float() - 255 * MEAN) * (1 / (255 * STD))
  return scaled.movedim(-1, -3)


def sequential_step(
  module: Any, recipe: Recipe, precision: str, compiler: str | None
) -> Step:
  """One model's step.

  Args:
    module: trained in place.
    recipe: momentum and weight decay.
    precision: "bfloat16" for autocast.
    compiler: mode of `torch.compile`, None for eager execution.
  """
  import torch
  from torch.nn.functional import cross_entropy

  optimizer = _sgd(module.parameters(), recipe)

  def forward(images):
    return module(normalise(images))

  if compiler:
    forward = torch.compile(forward, mode=compiler, dynamic=False)

  def step(images, labels, rate):
    _set_rate(optimizer, rate)
    with _autocast(precision, images.device):
      logits = forward(images)
    loss = cross_entropy(logits.float(), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()

  return step


def vmapped_step(
  modules: Sequence[Any], recipe: Recipe, precision: str, compiler: str | None
) -> Step:
  """The step of all models at once; arguments as above."""
  import torch
  from torch import func
  from torch.nn.functional import cross_entropy

  params, buffers = func.stack_module_state(list(modules))
  optimizer = _sgd(params.values(), recipe)

  def loss(params, buffers, images, labels):
    state = (params, buffers)
    logits = func.functional_call(modules[0], state, (normalise(images),))
    return cross_entropy(logits.float(), labels)

  gradients = func.vmap(func.grad_and_value(loss))
  if compiler:
    gradients = torch.compile(gradients, mode=compiler, dynamic=False)

  def step(images, labels, rate):
    _set_rate(optimizer, rate)
    # The outer graph is of no use: `grad` builds its own.
    with torch.no_grad(), _autocast(precision, images.device):
      found, losses = gradients(params, buffers, images, labels)
    for name, parameter in params.items():
      parameter.grad = found[name]
    optimizer.step()
    return losses

  return step


def _sgd(parameters, recipe: Recipe):
  import torch

  return torch.optim.SGD(
    parameters,
    lr=recipe.learning_rate,
    momentum=recipe.momentum,
    weight_decay=recipe.weight_decay,
    fused=True,
  )


def _set_rate(optimizer, rate: float) -> None:
  for group in optimizer.param_groups:
    group["lr"] = rate


def _autocast(precision: str, device):
  import torch

  if precision != "bfloat16":
    return contextlib.nullcontext()
  return torch.autocast(device.type, torch.bfloat16)
