"""The lowerings of the convolution side by side, as training meets them.

M models under `vmap`, inside a `scan`, every result summed into the carry so
that nothing can be left out or moved out of the loop.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from syndata_jax.benchmarks.harness.peak import peak
from syndata_jax.benchmarks.harness.record import (
  Agenda,
  Case,
  Contender,
  Job,
  measure,
)
from syndata_jax.benchmarks.harness.workload import Layer
from syndata_jax.benchmarks.pytorch import convolution as peer
from syndata_jax.benchmarks.pytorch import peers
from syndata_jax.models import lowerings
from syndata_jax.models.convolution import convolve

# One step of training needs all three; the first entry is all of them.
OPERATIONS = ("training", "forward", "input gradient", "weight gradient")


def layers(quick: bool, accelerator: bool) -> list[Layer]:
  """From the networks that the audits train."""
  if accelerator:
    shapes = [(32, 64, 64, 1), (32, 64, 128, 2), (8, 256, 256, 1)]
    in_bfloat16 = [Layer(8, 256, *s, 16, "bfloat16") for s in shapes]
    if quick:
      return in_bfloat16[:1]
    return [*in_bfloat16, Layer(32, 256, *shapes[0])]
  in_float32 = [
    Layer(8, 32, 8, 32, 32, 1, steps=16),
    Layer(8, 32, 32, 16, 16, 1),
    Layer(8, 32, 32, 16, 32, 2),
    Layer(4, 32, 32, 64, 64, 1),
  ]
  return in_float32[:3] if quick else in_float32


def suite(quick: bool, rounds: int) -> Agenda:
  """All layers; the full run takes the operations of the first apart."""
  accelerator = jax.default_backend() != "cpu"
  first, *others = layers(quick, accelerator)
  plan = [(layer, "training") for layer in (first, *others)]
  if not quick:
    plan += [(first, operation) for operation in OPERATIONS[1:]]
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
  torch = partial(peer.prepare, layer, operation)
  on_cpu = jax.default_backend() == "cpu"
  contenders += peers.contenders("PyTorch", torch, on_cpu)
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
  m, b, side, c, o = layer[:5]
  draw = partial(jax.random.normal, dtype=jnp.dtype(layer.precision))
  keys = jax.random.split(jax.random.key(0), 3)
  x = draw(keys[0], (layer.steps, m, b, side, side, c))
  w = draw(keys[1], (m, 3, 3, c, o)) / (9 * c) ** 0.5
  g = draw(keys[2], (layer.steps, m, b, layer.out_side, layer.out_side, o))
  return x, w.astype(x.dtype), g


def _round(
  operation: str,
  lowering: str,
  stride: int,
  x: jax.Array,
  w: jax.Array,
  g: jax.Array,
) -> tuple[jax.Array, ...]:
  """The operation's results, summed over steps.

  Args:
    operation: one of `OPERATIONS`.
    lowering: one of `lowerings.NAMES`.
    stride: of the convolution.
    x: as all others those of `arguments`.
    w: kernels.
    g: cotangents.
  """

  def one(x: jax.Array, w: jax.Array, g: jax.Array) -> tuple[jax.Array, ...]:
    y, pull = jax.vjp(lambda x, w: convolve(x, w, stride, lowering), x, w)
    by_input, by_weight = pull(g)
    return {
      "forward": (y,),
      "input gradient": (by_input,),
      "weight gradient": (by_weight,),
      "training": (y, by_input, by_weight),
    }[operation]

  def step(
    sums: tuple[jax.Array, ...], batch: tuple[jax.Array, jax.Array]
  ) -> tuple[tuple[jax.Array, ...], None]:
    results = jax.vmap(one)(batch[0], w, batch[1])
    return jax.tree.map(jnp.add, sums, results), None

  shapes = jax.eval_shape(jax.vmap(one), x[0], w, g[0])
  zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
  return lax.scan(step, zeros, (x, g))[0]
