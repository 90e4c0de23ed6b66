"""Training with SGD, one model after another or all at once.

Pixels lie on the device as u8 and are drawn, shifted, mirrored and normalised
there; networks compute in channels_last; SGD is the fused one; on a GPU
everything goes through `torch.compile` and, for bfloat16, autocast. Models are
trained one after another, or all at once through `torch.func`.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax.benchmarks.harness.peak import peak
from syndata_jax.benchmarks.harness.record import Job
from syndata_jax.benchmarks.harness.workload import MEAN, STD, Workload
from syndata_jax.benchmarks.pytorch import Module, Tensor, peers
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import Recipe
from syndata_jax.ensemble.recipe import learning_rate

# step(images u8[B,H,W,C], labels i64[B], learning rate) -> the loss; with a
# leading axis M on all arrays in the vmapped form.
Step = Callable[[Tensor, Tensor, float], Tensor]


class Pool(NamedTuple):
  """What all models share, on the device."""

  images: Tensor  # u8[N, H + 2 shift, W + 2 shift, C], the border black
  labels: Tensor  # i64[N]


def sequential(
  work: Workload, num_models: int, steps: int, compiler: str | None
) -> Job:
  """A round trains one model after another.

  Args:
    work: network, images and recipe.
    num_models: that take their turns.
    steps: of each model.
    compiler: mode of `torch.compile`, None for eager execution.

  Raises:
    NotRun: PyTorch is missing.
  """
  peers.require_torch()
  import torch

  rates, pool, members = _material(work, num_models, steps)
  # One module takes all the models' turns: computing does not depend on the
  # weights, and a compiled module is compiled once.
  module = peers.network(work)
  step = sequential_step(module, work.recipe, work.precision, compiler)
  train = _on_rows(step, pool, work.recipe, compiler)

  def run() -> None:
    for rows in members:
      order = rows[torch.randperm(len(rows), device=rows.device)]
      for index, rate in zip(order.split(work.batch_size), rates, strict=True):
        train(index, rate)

  return _job(run, work, num_models * steps)


def vmapped(
  work: Workload, num_models: int, steps: int, compiler: str | None
) -> Job:
  """A round trains all models at once, through `torch.func`.

  Args:
    work: network, images and recipe.
    num_models: M.
    steps: of all models together.
    compiler: mode of `torch.compile`, None for eager execution.

  Raises:
    NotRun: PyTorch is missing.
  """
  peers.require_torch()
  import torch

  rates, pool, members = _material(work, num_models, steps)
  modules = [peers.network(work, vmapped=True) for _ in range(num_models)]
  step = vmapped_step(modules, work.recipe, work.precision, compiler)
  train = _on_rows(step, pool, work.recipe, compiler)

  def run() -> None:
    order = torch.stack(
      [rows[torch.randperm(len(rows), device=rows.device)] for rows in members]
    )
    batches = order.split(work.batch_size, dim=1)
    for index, rate in zip(batches, rates, strict=True):
      train(index, rate)

  return _job(run, work, num_models * steps)


def make_pool(data: TrainingSet, shift: int, device: Any) -> Pool:
  """Moves the pool to the device, its border already added."""
  import torch

  assert data.images is not None
  border = ((0, 0), (shift, shift), (shift, shift), (0, 0))
  images = torch.from_numpy(np.pad(data.images, border)).to(device)
  return Pool(images, torch.from_numpy(data.labels).long().to(device))


def gather_augmented(
  images: Tensor, index: Tensor, shift: int, flip: bool
) -> Tensor:
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


def normalise(images: Tensor) -> Tensor:
  """u8[...,H,W,C] -> f32[...,C,H,W], channels last in memory."""
  # All channels have the same mean and deviation here.
  scaled = (images.float() - 255 * MEAN) * (1 / (255 * STD))
  return scaled.movedim(-1, -3)


def sequential_step(
  module: Module, recipe: Recipe, precision: str, compiler: str | None
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

  def forward(images: Tensor) -> Tensor:
    return module(normalise(images))

  if compiler:
    forward = torch.compile(forward, mode=compiler, dynamic=False)

  def step(images: Tensor, labels: Tensor, rate: float) -> Tensor:
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
  modules: Sequence[Module],
  recipe: Recipe,
  precision: str,
  compiler: str | None,
) -> Step:
  """The step of all models at once.

  Args:
    modules: one a model; copies of their parameters are trained.
    recipe: as of `sequential_step`, like the others.
    precision: "bfloat16" for autocast.
    compiler: mode of `torch.compile`, None for eager execution.
  """
  import torch
  from torch import func
  from torch.nn.functional import cross_entropy

  params, buffers = func.stack_module_state(list(modules))
  optimizer = _sgd(params.values(), recipe)

  def loss(
    params: dict[str, Tensor],
    buffers: dict[str, Tensor],
    images: Tensor,
    labels: Tensor,
  ) -> Tensor:
    state = (params, buffers)
    logits = func.functional_call(modules[0], state, (normalise(images),))
    return cross_entropy(logits.float(), labels)

  differentiate = func.vmap(func.grad_and_value(loss))
  if compiler:
    differentiate = torch.compile(differentiate, mode=compiler, dynamic=False)

  def step(images: Tensor, labels: Tensor, rate: float) -> Tensor:
    _set_rate(optimizer, rate)
    # The outer graph is of no use: `grad` builds its own.
    with torch.no_grad(), _autocast(precision, images.device):
      gradients, losses = differentiate(params, buffers, images, labels)
    for name, parameter in params.items():
      parameter.grad = gradients[name]
    optimizer.step()
    return losses

  return step


def _material(
  work: Workload, num_models: int, steps: int
) -> tuple[list[float], Pool, Tensor]:
  """Learning rates, pool, and i64[M,n] the rows of each model."""
  import torch

  data = work.data(num_models, steps)
  schedule = learning_rate(work.recipe, steps)
  rates = [float(schedule(step)) for step in range(steps)]
  pool = make_pool(data, work.recipe.shift, peers.device())
  members = torch.from_numpy(data.members).long().to(peers.device())
  return rates, pool, members


def _on_rows(
  step: Step, pool: Pool, recipe: Recipe, compiler: str | None
) -> Callable[[Tensor, float], None]:
  """The step as a function of rows i64[B] or i64[M,B] of the pool, and a rate.

  Args:
    step: of one model, or of all.
    pool: on the device.
    recipe: its shifts and flips.
    compiler: whether to compile the augmentation, too.
  """
  import torch

  gather = gather_augmented
  if compiler:
    gather = torch.compile(gather, dynamic=False)

  def train(index: Tensor, rate: float) -> None:
    rows = index.reshape(-1)
    images = gather(pool.images, rows, recipe.shift, recipe.flip)
    images = images.reshape(*index.shape, *images.shape[1:])
    step(images, pool.labels[index], rate)

  return train


def _job(run: Callable[[], None], work: Workload, steps: int) -> Job:
  """A round of so many steps in all, watched for its peak of memory."""
  import torch

  on_gpu = peers.device().type == "cuda"
  highest = 0

  def observed() -> None:
    nonlocal highest
    if not on_gpu:
      return run()
    torch.cuda.reset_peak_memory_stats()
    run()
    highest = max(highest, torch.cuda.max_memory_allocated())

  return Job(
    peers.guarded(observed),
    steps * work.batch_size,
    work.flops,
    peak(jax.local_devices()[:1], jnp.dtype(work.precision)),
    lambda: float(highest) if on_gpu else None,
  )


def _sgd(parameters: Iterable[Tensor], recipe: Recipe) -> Any:
  import torch

  return torch.optim.SGD(
    parameters,
    lr=recipe.learning_rate,
    momentum=recipe.momentum,
    weight_decay=recipe.weight_decay,
    fused=True,
  )


def _set_rate(optimizer: Any, rate: float) -> None:
  for group in optimizer.param_groups:
    group["lr"] = rate


def _autocast(
  precision: str, device: Any
) -> contextlib.AbstractContextManager[Any]:
  import torch

  if precision != "bfloat16":
    return contextlib.nullcontext()
  return torch.autocast(device.type, torch.bfloat16)
