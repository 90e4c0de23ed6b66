"""Adapters beside a base: nothing at first, then what merged weights would do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

from syndata_jax.data.training_set import TrainingSet, named_leaves
from syndata_jax.diffusion import lora, model
from syndata_jax.ensemble import make_layout
from syndata_jax.ensemble.memory import compiled_bytes
from syndata_jax.errors import UserError

SHAPE, CLASSES, M = (4, 4, 1), 3, 8
OPTIONS = model.DiffusionOptions(
  width=8, multipliers=(1, 2), attention=(2,), diffusion_batch=4
)
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
  np.testing.assert_array_equal(adapted(zero), plain(base))
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
    assert (
      abs(adapters[f"{name}.down"]).min() < abs(adapters[f"{name}.down"]).max()
    )
  with pytest.raises(UserError, match="rank=0"):
    lora.init(jax.random.key(0), base, 0)


def test_fine_tunes_share_one_base(base):
  """What eight of them hold and compute with, as compiled."""
  rng = np.random.default_rng(0)
  data = TrainingSet(
    rng.integers(0, 256, (8, *SHAPE), np.uint8),
    rng.integers(0, CLASSES, 8).astype(np.int32),
    np.tile(np.arange(8, dtype=np.int32), (M, 1)),
  )
  layout = make_layout(M, chunk=M, devices=jax.devices()[:1])
  size = sum(a.nbytes for a in jax.tree.leaves(base))
  held, texts = {}, {}
  for rank in (0, 1):
    learner = model.learner(MODULE, OPTIONS, data, base=base, rank=rank)
    run, arguments = small.prepared(layout, learner, data, jax.random.key(0))
    lowered = run.lower(*arguments)
    texts[rank] = lowered.as_text()
    held[rank] = compiled_bytes(lowered.compile())
    state = arguments[0]
    for params in (state.params, state.average):
      for name, leaf in named_leaves(params):
        if rank == 0:  # all begin at the base
          node = base
          for part in name.split("."):
            node = node[part]
          np.testing.assert_array_equal(
            leaf, np.tile(node, (M,) + (1,) * node.ndim)
          )
  adapters = jax.eval_shape(lambda: lora.init(jax.random.key(0), base, 1))
  trained = sum(4 * a.size for a in jax.tree.leaves(adapters))
  # Parameters, their average and two moments of each model, in place of which
  # LoRA holds the same four of its adapters, and one base.
  saved = 4 * M * (size - trained)
  assert held[0] - held[1] > 0.9 * saved
  assert size > 3 * trained
  # No array of the program is a base for each model.
  largest = "x".join(map(str, base["Conv_0"]["kernel"].shape))
  kernel = "3x3x24x8"  # of the decoder, which no other array is shaped like
  assert f"tensor<{M}x{kernel}xf32>" in texts[0]
  assert f"tensor<{M}x{kernel}xf32>" not in texts[1]
  assert f"tensor<{kernel}xf32>" in texts[1]
  del largest
