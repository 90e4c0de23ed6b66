"""DP-SGD as a good PyTorch user writes it: with Opacus, in its three modes.

`hooks` forms the gradient of every example by rules of its own, `functorch`
by `vmap`, and `ghost` clips without forming them, in two backward passes.
"""

import importlib.util
from functools import partial
from typing import Any

from syndata_jax.benchmarks import peers, torch_training
from syndata_jax.benchmarks.record import Job, NotRun
from syndata_jax.benchmarks.workload import Workload

MODES = ("hooks", "functorch", "ghost")

MISSING = "Opacus is not installed; pip install 'syndata_jax[benchmark]'"


def prepare(
  work: Workload, mode: str, steps: int, clip_norm: float, noise: float
) -> Job:
  """A round trains one model for `steps` Poisson batches.

  Args:
    work: the network must not mix examples; its batch size is expected.
    mode: one of `MODES`.
    steps: of a round.
    clip_norm: on the gradient of one example.
    noise: its multiplier.

  Raises:
    NotRun: PyTorch or Opacus is missing.
  """
  peers.require_torch()
  if importlib.util.find_spec("opacus") is None:
    raise NotRun(MISSING)
  import torch

  data = work.data(1, steps)
  pool = torch_training.make_pool(data, 0, peers.device())
  rows = torch.from_numpy(data.members[0]).long().to(peers.device())
  rate = work.batch_size / len(rows)
  step = partial(
    _step, *_private(peers.module(work), work, mode, clip_norm, noise)
  )

  def run() -> None:
    for _ in range(steps):
      drawn = torch.rand(len(rows), device=rows.device) < rate
      index = rows[drawn]
      step(torch_training.normalise(pool.images[index]), pool.labels[index])

  return Job(peers.guarded(run), steps * work.batch_size, work.flops)


def _private(
  module: Any, work: Workload, mode: str, clip_norm: float, noise: float
) -> tuple[Any, Any, Any]:
  """(module, optimizer, criterion), wrapped by Opacus."""
  import torch
  from opacus import grad_sample, optimizers
  from opacus.utils.fast_gradient_clipping_utils import (
    DPLossFastGradientClipping,
  )

  sgd = torch.optim.SGD(module.parameters(), lr=work.learning_rate)
  options = {
    "noise_multiplier": noise,
    "max_grad_norm": clip_norm,
    "expected_batch_size": work.batch_size,
  }
  loss = torch.nn.CrossEntropyLoss()
  if mode == "ghost":
    wrapped = grad_sample.GradSampleModuleFastGradientClipping(
      module, max_grad_norm=clip_norm, use_ghost_clipping=True
    )
    sgd = optimizers.DPOptimizerFastGradientClipping(sgd, **options)
    return wrapped, sgd, DPLossFastGradientClipping(wrapped, sgd, loss)
  wrapped = grad_sample.GradSampleModule(
    module, force_functorch=mode == "functorch"
  )
  return wrapped, optimizers.DPOptimizer(sgd, **options), loss


def _step(
  module: Any, optimizer: Any, criterion: Any, images: Any, labels: Any
) -> None:
  optimizer.zero_grad()
  criterion(module(images), labels).backward()
  optimizer.step()
