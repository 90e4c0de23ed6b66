"""The lowerings of the convolution side by side, as training meets them.

M models under `vmap`, inside a `scan`, every result summed into the carry so
that nothing can be left out or moved out of the loop.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from syndata_jax.benchmarks import peers, torch_convolution
from syndata_jax.benchmarks.peak import peak
from syndata_jax.benchmarks.record import (
  Agenda,
  Case,
  Contender,
  Job,
  measure,
)
from syndata_jax.models import lowerings
from syndata_jax.models.convolution import convolve

# One step of training needs all three; the first entry is all of them.
OPERATIONS = ("training", "forward", "input gradient", "weight gradient")


class Layer(NamedTuple):
  """3x3 convolutions of M models, one for each of a few steps."""

  models: int
  batch: int
  side: int
  inputs: int
  outputs: int
  stride: int
  steps: int = 4
  precision: str = "float32"

  @property
  def name(self) -> str:
    """Such as `8 models, 32x32x16 to 16, batch 32, float32`."""
    stride = ", stride 2" if self.stride == 2 else ""
    return (
      f"{self.models} models, {self.side}x{self.side}x{self.inputs} to"
      f" {self.outputs}{stride}, batch {self.batch}, {self.precision}"
    )

  @property
  def out_side(self) -> int:
    """Pixels along a side of the result."""
    return (self.side - 1) // self.stride + 1

  def gigaflops(self, operation: str) -> float:
    """Of one round: 2 for every tap, pixel, and pair of channels."""
    products = self.batch * self.out_side**2 * 9 * self.inputs * self.outputs
    once = 2e-9 * products * self.models * self.steps
    return 3 * once if operation == "training" else once


def layers(quick: bool, accelerator: bool) -> list[Layer]:
  """From the networks that the audits train."""
  if accelerator:
    shapes = [(32, 64, 64, 1), (32, 64, 128, 2), (8, 256, 256, 1)]
    found = [Layer(8, 256, *s, 16, "bfloat16") for s in shapes]
    return found[:1] if quick else [*found, Layer(32, 256, *shapes[0])]
  found = [
    Layer(8, 32, 8, 32, 32, 1, steps=16),
    Layer(8, 32, 32, 16, 16, 1),
    Layer(8, 32, 32, 16, 32, 2),
    Layer(4, 32, 32, 64, 64, 1),
  ]
  return found[:3] if quick else found


def suite(quick: bool, rounds: int) -> Agenda:
  """All layers; the full run takes the operations of the first apart."""
  accelerator = jax.default_backend() != "cpu"
  found = layers(quick, accelerator)
  plan = [(layer, "training") for layer in found]
  if not quick:
    plan += [(found[0], operation) for operation in OPERATIONS[1:]]
  cases = tuple(
    partial(compare, layer, operation, rounds) for layer, operation in plan
  )
  notes = (
    "3x3 convolutions of M models with weights of their own; `training` is"
    " the forward pass and both gradients.",
    "Ours are vmapped inside a scan; the names are those of"
    " syndata_jax.models.lowerings. PyTorch, in channels_last, loops over the"
    " models. Zero borders count as work.",
  )
  return Agenda("Convolution", "GFLOP/s", notes, cases)


def compare(layer: Layer, operation: str, rounds: int) -> Case:
  """Every lowering and PyTorch on one operation of one layer."""
  contenders = [
    Contender(name, False, partial(prepare, layer, operation, name))
    for name in lowerings.NAMES
  ]
  torch = partial(torch_convolution.prepare, layer, operation)
  contenders.append(Contender("PyTorch", True, torch))
  if jax.default_backend() == "cpu":
    alone = partial(peers.on_one_thread, torch)
    contenders.append(Contender("PyTorch, one thread", True, alone))
  settings = layer._asdict() | {"operation": operation}
  return measure(f"{layer.name}: {operation}", settings, contenders, rounds)


def prepare(layer: Layer, operation: str, lowering: str) -> Job:
  """One round of one lowering: `layer.steps` steps of all models."""
  run = jax.jit(partial(_round, operation, lowering, layer.stride))
  x, w, g = arguments(layer)
  work = layer.gigaflops(operation)
  best = peak(jax.local_devices()[:1], jnp.dtype(layer.precision))
  return Job(lambda: jax.block_until_ready(run(x, w, g)), work, 1e9, best)


def arguments(layer: Layer) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Images [T,M,B,H,W,C], kernels [M,3,3,C,O], cotangents [T,M,B,H',W',O]."""
  t, m, b, side, c, o = (*layer[:0], layer.steps, *layer[:5])
  draw = partial(jax.random.normal, dtype=jnp.dtype(layer.precision))
  keys = jax.random.split(jax.random.key(0), 3)
  x = draw(keys[0], (t, m, b, side, side, c))
  w = draw(keys[1], (m, 3, 3, c, o)) / (9 * c) ** 0.5
  g = draw(keys[2], (t, m, b, layer.out_side, layer.out_side, o))
  return x, w.astype(x.dtype), g


def _round(operation: str, lowering: str, stride: int, x, w, g):
  def one(x, w, g):
    y, gradients = jax.vjp(lambda x, w: convolve(x, w, stride, lowering), x, w)
    forward, (input_gradient, weight_gradient) = y, gradients(g)
    return {
      "forward": (forward,),
      "input gradient": (input_gradient,),
      "weight gradient": (weight_gradient,),
      "training": (forward, input_gradient, weight_gradient),
    }[operation]

  def step(sums, batch):
    results = jax.vmap(one)(batch[0], w, batch[1])
    return jax.tree.map(jnp.add, sums, results), None

  shapes = jax.eval_shape(jax.vmap(one), x[0], w, g[0])
  zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
  return lax.scan(step, zeros, (x, g))[0]
