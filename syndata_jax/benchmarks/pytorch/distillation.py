"""Data-set distillation, one shadow after another.

It is eager: PyTorch compiles no second derivatives. Images are [B,C,H,W],
channels last in memory. An operation of the augmentation is drawn on the host,
and only it is computed.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from syndata_jax.benchmarks.harness.record import Job
from syndata_jax.benchmarks.harness.workload import Workload
from syndata_jax.benchmarks.pytorch import Module, Tensor, peers, training
from syndata_jax.benchmarks.pytorch.siamese import View, draw
from syndata_jax.benchmarks.pytorch.trajectory import (
  Gradient,
  Params,
  Segment,
  tesla_gradient,
  trajectory_gradient,
)
from syndata_jax.paradigms.distillation.options import (
  Options,
)
from syndata_jax.paradigms.distillation.siamese import parse
from syndata_jax.paradigms.interface import Private

_NETWORK_RATE, _NETWORK_BATCH = 0.01, 256  # of DC's networks between updates


class Shadow(NamedTuple):
  """What one shadow distils with; nothing of it is learnt."""

  options: Options
  network: Module  # its weights are scratch: drawn anew, or unused
  images: Tensor  # u8[N,H,W,C], the private pool
  rows: list[Tensor]  # i64[n] of each class, rows of the pool
  labels: Tensor  # i64[K,B], row k: as many k as a batch may need


class Synthetic(NamedTuple):
  """What is learnt, in place."""

  images: Tensor  # [S,C,H,W], sorted by class
  labels: Tensor  # i64[S]
  rate: Tensor  # of the inner steps
  optimizer: Any  # of images and, where a method learns it, of the rate


def prepare(
  work: Workload, options: Options, data: Private, length: int
) -> Job:
  """A round is `length` iterations of the first shadow.

  Args:
    work: network and image size.
    options: the method with its settings.
    data: private images; the first model's rows count.
    length: of a round.

  Raises:
    NotRun: PyTorch is missing.
  """
  peers.require_torch()
  shadow = make_shadow(work, options, data)
  iterate = iteration(shadow, noise(shadow))

  def run() -> None:
    for _ in range(length):
      iterate()

  return Job(peers.guarded(run), length)


def make_shadow(work: Workload, options: Options, data: Private) -> Shadow:
  """The first shadow of `data`, on the device."""
  import torch

  rows, device = data.members[0], peers.device()
  most = max(options.real_batch, options.images_per_class)
  classes = torch.arange(data.num_classes, device=device)
  return Shadow(
    options,
    network(work),
    torch.from_numpy(data.images).to(device),
    [
      torch.from_numpy(rows[data.labels[rows] == k]).long().to(device)
      for k in range(data.num_classes)
    ],
    classes[:, None].expand(-1, most).contiguous(),
  )


def network(work: Workload) -> Module:
  """The network with a group of each channel in place of instance norm.

  It computes the same; PyTorch's gradient of its gradient is faster.
  """
  from torch import nn

  module = peers.network(work)
  for name, child in module.named_children():
    if isinstance(child, nn.InstanceNorm2d):
      width = child.num_features
      module.set_submodule(name, nn.GroupNorm(width, width, child.eps))
  return module.to(peers.device())


def iteration(shadow: Shadow, synthetic: Synthetic) -> Callable[[], None]:
  """One iteration of the shadow's method: it updates the synthetic set."""
  method = shadow.options.method
  if method == "dm":
    return partial(match_distributions, shadow, synthetic)
  if method == "dsa":
    return partial(match_gradients, shadow, synthetic)
  gradient = {"mtt": trajectory_gradient, "tesla": tesla_gradient}[method]
  start, target = _near_zero(shadow.network), _near_zero(shadow.network)
  return partial(match_trajectories, shadow, synthetic, gradient, start, target)


def noise(shadow: Shadow) -> Synthetic:
  """A synthetic set of noise, and the rule that updates it."""
  import torch

  options, pool = shadow.options, shadow.images
  num_classes, (height, width, channels) = len(shadow.rows), pool.shape[1:]
  size = num_classes * options.images_per_class
  images = torch.randn(size, channels, height, width, device=pool.device)
  images = images.contiguous(memory_format=torch.channels_last)
  images.requires_grad_()
  labels = torch.arange(num_classes, device=pool.device)
  rate = torch.tensor(
    options.learning_rate_start, device=pool.device, requires_grad=True
  )
  learnt = [{"params": [images], "lr": options.image_learning_rate}]
  if options.follows_experts:
    learnt.append({"params": [rate], "lr": options.learning_rate_rate})
  return Synthetic(
    images,
    labels.repeat_interleave(options.images_per_class),
    rate,
    torch.optim.SGD(learnt, momentum=0.5),
  )


def match_distributions(shadow: Shadow, synthetic: Synthetic) -> None:
  """DM: one update towards the private images' mean embeddings."""
  import torch

  _reinitialise(shadow.network)
  views = [_view(shadow, 1) for _ in shadow.rows]
  real, by_class = (
    torch.stack([view(x) for view, x in zip(views, images, strict=True)])
    for images in (_real(shadow), _by_class(shadow, synthetic.images))
  )
  loss = distribution_loss(shadow.network[:-1], real, by_class)
  (gradient,) = torch.autograd.grad(loss, [synthetic.images])
  _descend(synthetic, gradient)


def match_gradients(shadow: Shadow, synthetic: Synthetic) -> None:
  """DSA: the updates of one fresh network, which learns between them."""
  import torch

  options = shadow.options
  _reinitialise(shadow.network)
  for number in range(options.outer_steps):
    gradients: list[Tensor] = []
    by_class = _by_class(shadow, synthetic.images)
    for real, images, labels in zip(
      _real(shadow), by_class, shadow.labels, strict=True
    ):
      view, leaf = _view(shadow, 1), images.detach().requires_grad_()
      loss = matching_loss(shadow.network, view(real), view(leaf), labels)
      gradients += torch.autograd.grad(loss, [leaf])
    _descend(synthetic, torch.cat(gradients))
    if number < options.outer_steps - 1:
      _train_network(shadow, synthetic)


def match_trajectories(
  shadow: Shadow,
  synthetic: Synthetic,
  gradient: Gradient,
  start: Params,
  target: Params,
) -> None:
  """MTT and TESLA: one update along one expert's segment.

  Args:
    shadow: settings and network.
    synthetic: updated in place.
    gradient: `trajectory_gradient` or `tesla_gradient`.
    start: the expert's parameters at the beginning of the segment.
    target: those at its end.
  """
  import torch

  steps, size = shadow.options.inner_steps, len(synthetic.images)
  batch = min(shadow.options.synthetic_batch or size, size)
  device = synthetic.images.device
  epochs = -(-steps * batch // size)
  order = torch.cat(
    [torch.randperm(size, device=device) for _ in range(epochs)]
  )
  _, by_images, by_rate = gradient(
    Segment(
      shadow.network,
      start,
      target,
      synthetic.images,
      synthetic.labels,
      synthetic.rate,
      order[: steps * batch].reshape(steps, batch),
      [_view(shadow, batch, True) for _ in range(steps)],
    )
  )
  _descend(synthetic, by_images, by_rate)


def distribution_loss(embed: Module, real: Tensor, synthetic: Tensor) -> Tensor:
  """DM's squared distance of mean embeddings; images [K,B,C,H,W]."""
  import torch

  def means(images: Tensor) -> Tensor:
    embedded = embed(images.flatten(0, 1))
    return embedded.reshape(*images.shape[:2], -1).mean(1)

  with torch.no_grad():
    target = means(real)
  return ((target - means(synthetic)) ** 2).sum()


def matching_loss(
  module: Module, real: Tensor, synthetic: Tensor, labels: Tensor
) -> Tensor:
  """DC's distance of the gradients of one class, a cosine for each output.

  Args:
    module: the network.
    real: [B,C,H,W].
    synthetic: [S,C,H,W].
    labels: i64[max(B, S)] or more, all the class.
  """
  import torch
  from torch.nn.functional import cross_entropy

  params = [p for p in module.parameters() if p.ndim > 1]  # others count 0

  def gradient(images: Tensor, create_graph: bool) -> tuple[Tensor, ...]:
    loss = cross_entropy(module(images), labels[: len(images)])
    return torch.autograd.grad(loss, params, create_graph=create_graph)

  distance: Tensor = 0
  for of_real, of_synthetic in zip(
    gradient(real, False), gradient(synthetic, True), strict=True
  ):
    a, b = of_real.flatten(1), of_synthetic.flatten(1)
    length = a.norm(dim=1) * b.norm(dim=1)
    distance = distance + (1 - (a * b).sum(1) / (length + 1e-6)).sum()
  return distance


def _descend(
  synthetic: Synthetic, by_images: Tensor, by_rate: Tensor | None = None
) -> None:
  """One step of the optimizer along these gradients."""
  synthetic.images.grad, synthetic.rate.grad = by_images, by_rate
  synthetic.optimizer.step()


def _train_network(shadow: Shadow, synthetic: Synthetic) -> None:
  """Some epochs of the network on the synthetic images."""
  import torch
  from torch.nn.functional import cross_entropy

  module, images = shadow.network, synthetic.images.detach()
  optimizer = torch.optim.SGD(module.parameters(), _NETWORK_RATE, fused=True)
  for _ in range(shadow.options.inner_epochs):
    order = torch.randperm(len(images), device=images.device)
    for index in order.split(_NETWORK_BATCH):
      logits = module(_view(shadow, len(index))(images[index]))
      optimizer.zero_grad()
      cross_entropy(logits, synthetic.labels[index]).backward()
      optimizer.step()


def _reinitialise(module: Module) -> None:
  """A new random network, in the place of the last one."""
  for layer in module.modules():
    if hasattr(layer, "reset_parameters"):
      layer.reset_parameters()


def _near_zero(module: Module) -> Params:
  """Random parameters such as a segment may begin or end with."""
  import torch

  named = module.named_parameters()
  return {name: torch.randn_like(p) * 0.05 for name, p in named}


def _real(shadow: Shadow) -> Tensor:
  """A private batch of every class, [K,B,C,H,W]."""
  import torch

  batch = shadow.options.real_batch
  index = torch.stack(
    [
      rows[torch.randperm(len(rows), device=rows.device)][:batch]
      for rows in shadow.rows
    ]
  )
  return training.normalise(shadow.images[index])


def _by_class(shadow: Shadow, images: Tensor) -> Tensor:
  """The synthetic images of every class, [K,S/K,C,H,W]."""
  return images.reshape(len(shadow.rows), -1, *images.shape[1:])


def _view(shadow: Shadow, count: int, align_corners: bool = False) -> View:
  """The augmentation once drawn, of `count` images or for all alike."""
  height, width = shadow.images.shape[1:3]
  return draw(
    parse(shadow.options.augmentation),
    count,
    (height, width),
    shadow.images.device,
    align_corners,
  )
