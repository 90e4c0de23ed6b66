"""Adapters beside a base: nothing at first, then as merged weights."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from syndata_jax.data.training_set import TrainingSet, named_leaves
from syndata_jax.diffusion import lora, model
from syndata_jax.ensemble import Own, Pool
from syndata_jax.ensemble.memory import compiled_bytes
from syndata_jax.errors import UserError

SHAPE, CLASSES, M = (4, 4, 1), 3, 8
OPTIONS = model.DiffusionOptions(width=8, multipliers=(1, 2), attention=(2,))
MODULE = model.make_network(OPTIONS, SHAPE, CLASSES)


def drawn(shapes, seed):
  rng = np.random.default_rng(seed)
  draw = lambda s: rng.normal(0, 0.2, s.shape).astype(np.float32)
  return jax.tree.map(draw, shapes)


@pytest.fixture(scope="module")
def base():
  """Without a layer that is zero."""
  shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), MODULE, SHAPE))
  return drawn(shapes, 0)


def merged(base, adapters):
  """W + 0.5 B A in the place of every W."""
  tree = {}
  for name, part in base.items():
    if isinstance(part, dict):
      tree[name] = merged(part, adapters.get(name, {}))
    elif name == "kernel":
      change = np.einsum("...ir,ro->...io", adapters["down"], adapters["up"])
      tree[name] = part + 0.5 * change
    else:
      tree[name] = part
  return tree


def test_zero_adapters_are_the_base_and_others_are_merged_weights(base):
  rng = np.random.default_rng(1)
  given = (
    rng.normal(size=(3, *SHAPE)).astype(np.float32),
    np.array([-1, 0, 1], np.float32),
    np.array([0, 2, 3]),
  )

  @jax.jit
  def adapted(adapters):
    with lora.adapted(adapters, 0.5):
      return MODULE.apply({"params": base}, *given)

  plain = jax.jit(lambda params: MODULE.apply({"params": params}, *given))
  zero = lora.init(jax.random.key(1), base, 3)
  np.testing.assert_allclose(adapted(zero), plain(base), atol=1e-6)
  others = drawn(zero, 2)
  want = plain(merged(base, others))
  assert abs(want - plain(base)).max() > 0.1
  np.testing.assert_allclose(adapted(others), want, atol=2e-4)


def test_every_kernel_has_an_adapter_and_nothing_else(base):
  adapters = dict(named_leaves(lora.init(jax.random.key(1), base, 3)))
  kernels = {
    name.removesuffix(".kernel"): array.shape
    for name, array in named_leaves(base)
    if name.endswith(".kernel")
  }
  assert adapters.keys() == {
    f"{n}.{m}" for n in kernels for m in ("down", "up")
  }
  for name, (*taps, inputs, outputs) in kernels.items():
    rank = min(3, inputs * int(np.prod(taps)), outputs)
    assert adapters[f"{name}.down"].shape == (*taps, inputs, rank)
    assert adapters[f"{name}.up"].shape == (rank, outputs)
    assert not adapters[f"{name}.up"].any()
    assert adapters[f"{name}.down"].std() > 0
  with pytest.raises(UserError, match="rank=0"):
    lora.init(jax.random.key(0), base, 0)


@functools.cache
def fine_tuning(rank):
  """An epoch of eight fine-tunes, lowered, and their base."""
  options = dataclasses.replace(
    OPTIONS, multipliers=(1,), attention=(), diffusion_batch=4
  )
  module = model.make_network(options, SHAPE, CLASSES, lowering="im2col")
  base = drawn(
    jax.eval_shape(lambda: model.init(jax.random.key(0), module, SHAPE)), 0
  )
  images = np.zeros((4, *SHAPE), np.uint8)
  labels, rows = np.zeros(4, np.int32), np.arange(4, dtype=np.int32)
  data = TrainingSet(images, labels, np.tile(rows, (M, 1)))
  own = Own(jax.random.split(jax.random.key(0), M), data.members)
  pool = Pool(images, labels, base)
  learner = model.learner(module, options, data, base=base, rank=rank)
  of_all = lambda f, axes: jax.vmap(f, in_axes=axes)
  states = jax.eval_shape(of_all(learner.init, (0, None)), own, pool)
  epoch = of_all(learner.epoch, (0, 0, None))
  return jax.jit(epoch, donate_argnums=0).lower(states, own, pool), base


@pytest.mark.slow
def test_no_array_is_a_kernel_of_the_base_for_each_model():
  """This one is the decoder's, which no other array is shaped like."""
  kernel, (full, _), (adapted, _) = "3x3x16x8xf32", *map(fine_tuning, (0, 1))
  assert f"tensor<{M}x{kernel}>" in full.as_text()
  assert f"tensor<{M}x{kernel}>" not in adapted.as_text()
  assert f"tensor<{kernel}>" in adapted.as_text()


@pytest.mark.slow
def test_fine_tunes_hold_one_base():
  """As compiled, in bytes."""
  (full, base), (adapted, _) = map(fine_tuning, (0, 1))
  of_base = sum(a.nbytes for a in jax.tree.leaves(base))
  adapters = jax.eval_shape(lambda: lora.init(jax.random.key(0), base, 1))
  of_adapters = sum(4 * a.size for a in jax.tree.leaves(adapters))
  assert of_base > 3 * of_adapters
  # Parameters, their average and two moments of each model, in place of which
  # LoRA holds the same four of its adapters, beside one base.
  saved = 4 * M * (of_base - of_adapters) - of_base
  held = [compiled_bytes(each.compile()) for each in (full, adapted)]
  assert held[0] - held[1] > 0.9 * saved
