"""PyTorch's convolutions, in channels_last, one model after another."""

from typing import TYPE_CHECKING

import jax
import numpy as np

from syndata_jax.benchmarks import peers
from syndata_jax.benchmarks.peak import peak
from syndata_jax.benchmarks.record import Job

if TYPE_CHECKING:
  from syndata_jax.benchmarks.convolution import Layer


def prepare(layer: "Layer", operation: str) -> Job:
  """The work of `convolution.prepare`, its results summed as there."""
  peers.require_torch()
  import torch

  dtype = getattr(torch, layer.precision)
  draw = np.random.default_rng(0)

  def tensors(channels: int, rows: int, side: int, count: int) -> list:
    shape = (rows, side, side, channels)
    made = [
      torch.from_numpy(draw.normal(size=shape).astype(np.float32))
      for _ in range(count)
    ]
    return [t.to(peers.device(), dtype).permute(0, 3, 1, 2) for t in made]

  m, total = layer.models, layer.models * layer.steps
  x = tensors(layer.inputs, layer.batch, layer.side, total)
  g = tensors(layer.outputs, layer.batch, layer.out_side, total)
  w = tensors(layer.inputs, layer.outputs, 3, m)
  stride, wanted = [layer.stride] * 2, operation == "training"
  mask = [
    wanted or operation == "input gradient",
    wanted or operation == "weight gradient",
    False,
  ]
  forward = wanted or operation == "forward"

  def one(x, w, g):
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

  best = peak(jax.local_devices()[:1], jax.numpy.dtype(layer.precision))
  return Job(peers.guarded(run), layer.gigaflops(operation), 1e9, best)
