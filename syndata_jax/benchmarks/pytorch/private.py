"""DP-SGD with Opacus, in its three modes.

`hooks` forms the gradient of every example by rules of its own, `functorch`
by `vmap`, and `ghost` clips without forming them, in two backward passes.
"""

import importlib.util
from typing import Any

from syndata_jax.benchmarks.harness.record import Job, NotRun
from syndata_jax.benchmarks.harness.workload import Workload
from syndata_jax.benchmarks.pytorch import Module, peers, training

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
  assert data.members is not None
  pool = training.make_pool(data, 0, peers.device())
  rows = torch.from_numpy(data.members[0]).long().to(peers.device())
  rate = work.batch_size / len(rows)
  module, optimizer, criterion = _wrapped(
    peers.network(work),
    mode,
    work.learning_rate,
    {
      "noise_multiplier": noise,
      "max_grad_norm": clip_norm,
      "expected_batch_size": work.batch_size,
    },
  )

  def run() -> None:
    for _ in range(steps):
      sampled = torch.rand(len(rows), device=rows.device) < rate
      index = rows[sampled]
      logits = module(training.normalise(pool.images[index]))
      optimizer.zero_grad()
      criterion(logits, pool.labels[index]).backward()
      optimizer.step()

  return Job(peers.guarded(run), steps * work.batch_size, work.flops)


def _wrapped(
  module: Module, mode: str, learning_rate: float, options: dict[str, float]
) -> tuple[Module, Any, Any]:
  """(module, optimizer, criterion) of Opacus.

  Args:
    module: the network.
    mode: one of `MODES`.
    learning_rate: of plain SGD.
    options: of Opacus's optimizer: clip norm, noise, expected batch.
  """
  import torch
  from opacus import grad_sample, optimizers
  from opacus.utils.fast_gradient_clipping_utils import (
    DPLossFastGradientClipping,
  )

  sgd = torch.optim.SGD(module.parameters(), lr=learning_rate)
  loss = torch.nn.CrossEntropyLoss()
  if mode == "ghost":
    wrapped = grad_sample.GradSampleModuleFastGradientClipping(
      module, max_grad_norm=options["max_grad_norm"], use_ghost_clipping=True
    )
    sgd = optimizers.DPOptimizerFastGradientClipping(sgd, **options)
    return wrapped, sgd, DPLossFastGradientClipping(wrapped, sgd, loss)
  wrapped = grad_sample.GradSampleModule(
    module, force_functorch=mode == "functorch"
  )
  return wrapped, optimizers.DPOptimizer(sgd, **options), loss
