"""The gradients of trajectory matching: MTT's exact one, and TESLA's.

Parameters are differentiated through, so the network is called as a function of
them. Images are [B,C,H,W].
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from syndata_jax.benchmarks.pytorch import Module, Tensor
from syndata_jax.benchmarks.pytorch.siamese import View

Params = dict[str, Tensor]


class Segment(NamedTuple):
  """What a trajectory is matched with; the network's own weights are unused."""

  network: Module
  start: Params
  target: Params
  images: Tensor  # [S,C,H,W], requires a gradient
  labels: Tensor  # i64[S]
  rate: Tensor  # of the inner steps, requires a gradient
  batches: Tensor  # i64[T,b]
  views: list[View] | None = None  # of each step


# segment -> (loss, gradient by images, gradient by rate)
Gradient = Callable[[Segment], tuple[Tensor, Tensor, Tensor]]


def trajectory_gradient(segment: Segment) -> tuple[Tensor, Tensor, Tensor]:
  """MTT's loss and exact gradient, through the graph of all steps.

  Returns:
    (loss, gradient by images, gradient by rate).
  """
  import torch

  images, rate = segment.images, segment.rate
  params = {n: p.detach().requires_grad_() for n, p in segment.start.items()}
  for number in range(len(segment.batches)):
    loss = _inner_loss(segment, params, images, number)
    leaves = list(params.values())
    gradients = torch.autograd.grad(loss, leaves, create_graph=True)
    params = _step(params, rate, gradients)
  missed = _missed(params, segment.target)
  loss = _squares(missed) / _squares(_missed(segment.start, segment.target))
  return loss.detach(), *torch.autograd.grad(loss, [images, rate])


def tesla_gradient(segment: Segment) -> tuple[Tensor, Tensor, Tensor]:
  """The same loss with TESLA's gradient, by the graph of one step at a time.

  It keeps the parameters of all steps, as the authors' code does, and so is
  spared to walk them again.
  """
  import torch

  rate, images = segment.rate.detach(), segment.images
  walk, params = [], segment.start
  total: Any = [torch.zeros_like(p) for p in params.values()]
  for number in range(len(segment.batches)):
    params = {n: p.detach().requires_grad_() for n, p in params.items()}
    walk.append(params)
    loss = _inner_loss(segment, params, images.detach(), number)
    gradients = torch.autograd.grad(loss, list(params.values()))
    torch._foreach_add_(total, gradients)
    params = _step({n: p.detach() for n, p in params.items()}, rate, gradients)
  missed = _missed(params, segment.target)
  scale = _squares(_missed(segment.start, segment.target))
  weight = [-2 * rate / scale * m for m in missed]
  by_images = torch.zeros_like(images)
  for number, params in enumerate(walk):
    loss = _inner_loss(segment, params, images, number)
    leaves = list(params.values())
    gradients = torch.autograd.grad(loss, leaves, create_graph=True)
    by_images += torch.autograd.grad(gradients, images, weight)[0]
  by_rate = sum((-2 * g * m).sum() for g, m in zip(total, missed, strict=True))
  return _squares(missed) / scale, by_images, by_rate / scale


def _inner_loss(
  segment: Segment, params: Params, images: Tensor, number: int
) -> Tensor:
  """The loss of one inner step.

  Args:
    segment: network, labels, batches and views.
    params: before the step.
    images: those of the segment, detached or not.
    number: of the step, from 0.
  """
  from torch.func import functional_call
  from torch.nn.functional import cross_entropy

  index = segment.batches[number]
  batch = images[index]
  if segment.views:
    batch = segment.views[number](batch)
  logits = functional_call(segment.network, params, (batch,))
  return cross_entropy(logits, segment.labels[index])


def _step(
  params: Params, rate: Tensor, gradients: tuple[Tensor, ...]
) -> Params:
  pairs = zip(params.items(), gradients, strict=True)
  return {name: p - rate * g for (name, p), g in pairs}


def _missed(params: Params, target: Params) -> list[Tensor]:
  return [p - target[name] for name, p in params.items()]


def _squares(leaves: list[Tensor]) -> Tensor:
  return sum((leaf**2).sum() for leaf in leaves)
