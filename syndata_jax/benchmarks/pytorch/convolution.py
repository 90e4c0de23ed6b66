"""Convolutions in channels_last, one model after another."""

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax.benchmarks.harness.peak import peak
from syndata_jax.benchmarks.harness.record import Job
from syndata_jax.benchmarks.harness.workload import Layer
from syndata_jax.benchmarks.pytorch import Tensor, peers


def prepare(layer: Layer, operation: str) -> Job:
  """The work of `suites.convolution.prepare`, its results summed as there."""
  peers.require_torch()
  import torch

  dtype = getattr(torch, layer.precision)
  draw = np.random.default_rng(0)

  def tensors(count: int, rows: int, side: int, channels: int) -> list[Tensor]:
    """`count` times [rows, channels, side, side], channels last in memory."""
    shape = (rows, side, side, channels)
    drawn = [
      torch.from_numpy(draw.normal(size=shape).astype(np.float32))
      for _ in range(count)
    ]
    return [t.to(peers.device(), dtype).permute(0, 3, 1, 2) for t in drawn]

  m, total = layer.models, layer.models * layer.steps
  x = tensors(total, layer.batch, layer.side, layer.inputs)
  g = tensors(total, layer.batch, layer.out_side, layer.outputs)
  w = tensors(m, layer.outputs, 3, layer.inputs)
  stride, everything = [layer.stride] * 2, operation == "training"
  mask = [
    everything or operation == "input gradient",
    everything or operation == "weight gradient",
    False,
  ]
  forward = everything or operation == "forward"

  def one(x: Tensor, w: Tensor, g: Tensor) -> list[Tensor]:
    results = []
    if forward:
      results.append(torch.conv2d(x, w, None, stride, 1))
    if any(mask):
      gradients = torch.ops.aten.convolution_backward(
        g, x, w, None, stride, [1, 1], [1, 1], False, [0, 0], 1, mask
      )
      results += [r for r, keep in zip(gradients, mask, strict=True) if keep]
    return results

  def run() -> None:
    with torch.no_grad():
      for model in range(m):
        sums = one(x[model], w[model], g[model])
        for i in range(model + m, total, m):
          for s, result in zip(sums, one(x[i], w[model], g[i]), strict=True):
            s += result

  best = peak(jax.local_devices()[:1], jnp.dtype(layer.precision))
  return Job(peers.guarded(run), layer.gigaflops(operation), 1e9, best)
