"""Data-set distillation as a good PyTorch user writes it.

One shadow after another, and eager: PyTorch compiles no second derivatives.
Images are [B,C,H,W], channels last in memory. Where parameters are
differentiated through, the network is called as a function of them. An
operation of the augmentation is drawn on the host, and only it is computed.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from syndata_jax.benchmarks import peers, torch_training
from syndata_jax.benchmarks.record import Job
from syndata_jax.benchmarks.torch_siamese import View, draw
from syndata_jax.benchmarks.workload import Workload
from syndata_jax.paradigms.distillation.augmentation import parse
from syndata_jax.paradigms.distillation.options import (
  TRAJECTORY_METHODS,
  Options,
)
from syndata_jax.paradigms.interface import Private

Params = dict[str, Any]

_NETWORK_RATE, _NETWORK_BATCH = 0.01, 256  # of DC's networks between updates


def prepare(
  work: Workload, options: Options, data: Private, length: int
) -> Job:
  """A round is `length` iterations of the first shadow.

  Raises:
    NotRun: PyTorch is missing.
  """
  peers.require_torch()
  task = _Task(work, options, data)
  steps: dict[str, Callable[[], None]] = {
    "dm": task.match_distributions,
    "dsa": task.match_gradients,
    "mtt": partial(task.match_trajectories, trajectory_gradient),
    "tesla": partial(task.match_trajectories, tesla_gradient),
  }
  step = steps[options.method]

  def run() -> None:
    for _ in range(length):
      step()

  return Job(peers.guarded(run), length)


def distribution_loss(embed: Any, real: Any, synthetic: Any) -> Any:
  """DM's squared distance of mean embeddings; images [K,B,C,H,W]."""
  import torch

  def means(images):
    embedded = embed(images.flatten(0, 1))
    return embedded.reshape(*images.shape[:2], -1).mean(1)

  with torch.no_grad():
    wanted = means(real)
  return ((wanted - means(synthetic)) ** 2).sum()


def matching_loss(module: Any, real: Any, synthetic: Any, labels: Any) -> Any:
  """DC's distance of the gradients of one class, a cosine for each output.

  Args:
    module: the network.
    real: [B,C,H,W].
    synthetic: [S,C,H,W].
    labels: i64[max(B, S)], all the class.
  """
  import torch
  from torch.nn.functional import cross_entropy

  params = [p for p in module.parameters() if p.ndim > 1]  # others count 0

  def gradient(images, **options):
    loss = cross_entropy(module(images), labels[: len(images)])
    return torch.autograd.grad(loss, params, **options)

  loss: Any = 0
  for wanted, found in zip(
    gradient(real), gradient(synthetic, create_graph=True), strict=True
  ):
    a, b = wanted.flatten(1), found.flatten(1)
    length = a.norm(dim=1) * b.norm(dim=1)
    loss = loss + (1 - (a * b).sum(1) / (length + 1e-6)).sum()
  return loss


def network(work: Workload) -> Any:
  """The network with a group of each channel in place of instance norm.

  It computes the same; PyTorch's gradient of its gradient is faster.
  """
  from torch import nn

  module = peers.module(work)
  for name, child in module.named_children():
    if isinstance(child, nn.InstanceNorm2d):
      width = child.num_features
      module.set_submodule(name, nn.GroupNorm(width, width, child.eps))
  return module.to(peers.device())


class Segment(NamedTuple):
  """What a trajectory is matched with; the network's own weights are unused."""

  module: Any
  start: Params
  target: Params
  images: Any  # [S,C,H,W], requires a gradient
  labels: Any  # i64[S]
  rate: Any  # of the inner steps, requires a gradient
  batches: Any  # i64[T,b]
  views: list[View] | None = None  # of each step


def trajectory_gradient(given: Segment) -> tuple[Any, Any, Any]:
  """MTT's loss and exact gradient, through the graph of all steps.

  Returns:
    (loss, gradient by images, gradient by rate).
  """
  import torch

  params = {n: p.detach().requires_grad_() for n, p in given.start.items()}
  for number in range(len(given.batches)):
    loss = _inner_loss(given, params, given.images, number)
    found = torch.autograd.grad(loss, list(params.values()), create_graph=True)
    pairs = zip(params.items(), found, strict=True)
    params = {n: p - given.rate * g for (n, p), g in pairs}
  missed = _missed(params, given.target)
  loss = _squares(missed) / _squares(_missed(given.start, given.target))
  return loss.detach(), *torch.autograd.grad(loss, [given.images, given.rate])


def tesla_gradient(given: Segment) -> tuple[Any, Any, Any]:
  """The same loss with TESLA's gradient, by the graph of one step at a time.

  It keeps the parameters of all steps, as the authors' code does, and so is
  spared to walk them again.
  """
  import torch

  rate, images = given.rate.detach(), given.images
  walk, params = [], given.start
  total: Any = [torch.zeros_like(p) for p in params.values()]
  for number in range(len(given.batches)):
    params = {n: p.detach().requires_grad_() for n, p in params.items()}
    walk.append(params)
    loss = _inner_loss(given, params, images.detach(), number)
    found = torch.autograd.grad(loss, list(params.values()))
    torch._foreach_add_(total, found)
    pairs = zip(params.items(), found, strict=True)
    params = {n: p.detach() - rate * g for (n, p), g in pairs}
  missed = _missed(params, given.target)
  scale = _squares(_missed(given.start, given.target))
  weight = [-2 * rate / scale * m for m in missed]
  by_images = torch.zeros_like(images)
  for number, params in enumerate(walk):
    loss = _inner_loss(given, params, images, number)
    found = torch.autograd.grad(loss, list(params.values()), create_graph=True)
    by_images += torch.autograd.grad(found, images, weight)[0]
  by_rate = sum((-2 * g * m).sum() for g, m in zip(total, missed, strict=True))
  return _squares(missed) / scale, by_images, by_rate / scale


def _inner_loss(given: Segment, params: Params, images: Any, number: int):
  from torch.func import functional_call
  from torch.nn.functional import cross_entropy

  index = given.batches[number]
  batch = images[index]
  if given.views:
    batch = given.views[number](batch)
  logits = functional_call(given.module, params, (batch,))
  return cross_entropy(logits, given.labels[index])


def _missed(params: Params, target: Params) -> list[Any]:
  return [p - target[name] for name, p in params.items()]


def _squares(leaves: list[Any]) -> Any:
  return sum((leaf**2).sum() for leaf in leaves)


class _Task:
  """The data and synthetic images of one shadow, and an update by a method."""

  def __init__(self, work: Workload, options: Options, data: Private):
    import torch

    device = peers.device()
    self.options, self.classes = options, data.num_classes
    self.operations = parse(options.augmentation)
    self.module = network(work)
    rows = data.members[0]
    self.pool = torch.from_numpy(data.images).to(device)
    self.rows = [
      torch.from_numpy(rows[data.labels[rows] == k]).long().to(device)
      for k in range(self.classes)
    ]
    size = self.classes * options.images_per_class
    height, width, channels = work.image_shape
    images = torch.randn(size, channels, height, width, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    self.images = images.requires_grad_()
    self.labels = torch.arange(self.classes, device=device).repeat_interleave(
      options.images_per_class
    )
    self.rate = torch.tensor(
      options.learning_rate_start, device=device, requires_grad=True
    )
    groups = [{"params": [self.images], "lr": options.image_learning_rate}]
    if options.method in TRAJECTORY_METHODS:
      groups.append({"params": [self.rate], "lr": options.learning_rate_rate})
      near = lambda: {
        n: torch.randn_like(p) * 0.05 for n, p in self.module.named_parameters()
      }
      self.start, self.target = near(), near()
    self.optimizer = torch.optim.SGD(groups, momentum=0.5)
    most = max(options.real_batch, options.images_per_class)
    self.alike = [
      torch.full((most,), k, device=device) for k in range(self.classes)
    ]

  def match_distributions(self) -> None:
    import torch

    self._fresh()
    views = self._siamese()
    real, synthetic = (
      torch.stack([v(x) for v, x in zip(views, images, strict=True)])
      for images in (self._real(), self._by_class())
    )
    loss = distribution_loss(self.module[:-1], real, synthetic)
    (self.images.grad,) = torch.autograd.grad(loss, [self.images])
    self.optimizer.step()

  def match_gradients(self) -> None:
    self._fresh()
    for number in range(self.options.outer_steps):
      self._match_classes()
      if number < self.options.outer_steps - 1:
        self._train_network()

  def match_trajectories(self, gradient: Callable) -> None:
    import torch

    steps, size = self.options.inner_steps, len(self.images)
    batch = min(self.options.synthetic_batch or size, size)
    device = self.images.device
    order = torch.cat(
      [
        torch.randperm(size, device=device)
        for _ in range(-(-steps * batch // size))
      ]
    )
    given = Segment(
      self.module,
      self.start,
      self.target,
      self.images,
      self.labels,
      self.rate,
      order[: steps * batch].reshape(steps, batch),
      [self._view(batch, True) for _ in range(steps)],
    )
    _, self.images.grad, self.rate.grad = gradient(given)
    self.optimizer.step()

  def _match_classes(self) -> None:
    import torch

    found: list[Any] = []
    for real, synthetic, view, alike in zip(
      self._real(), self._by_class(), self._siamese(), self.alike, strict=True
    ):
      own = synthetic.detach().requires_grad_()
      loss = matching_loss(self.module, view(real), view(own), alike)
      found += torch.autograd.grad(loss, [own])
    self.images.grad = torch.cat(found)
    self.optimizer.step()

  def _train_network(self) -> None:
    import torch
    from torch.nn.functional import cross_entropy

    images = self.images.detach()
    params = list(self.module.parameters())
    optimizer = torch.optim.SGD(params, lr=_NETWORK_RATE, fused=True)
    for _ in range(self.options.inner_epochs):
      order = torch.randperm(len(images), device=images.device)
      for index in order.split(_NETWORK_BATCH):
        logits = self.module(self._view(len(index))(images[index]))
        optimizer.zero_grad()
        cross_entropy(logits, self.labels[index]).backward()
        optimizer.step()

  def _fresh(self) -> None:
    """A new random network, in the place of the last one."""
    for layer in self.module.modules():
      if hasattr(layer, "reset_parameters"):
        layer.reset_parameters()

  def _real(self) -> Any:
    """A batch of every class, [K,B,C,H,W]."""
    import torch

    index = torch.stack(
      [
        rows[torch.randperm(len(rows), device=rows.device)][
          : self.options.real_batch
        ]
        for rows in self.rows
      ]
    )
    return torch_training.normalise(self.pool[index])

  def _by_class(self) -> Any:
    shape = (self.classes, -1, *self.images.shape[1:])
    return self.images.reshape(shape)

  def _siamese(self) -> list[View]:
    """Of every class, the same for all images."""
    return [self._view(1) for _ in range(self.classes)]

  def _view(self, count: int, align_corners: bool = False) -> View:
    height, width = self.images.shape[-2:]
    return draw(
      self.operations,
      count,
      (height, width),
      self.images.device,
      align_corners,
    )
