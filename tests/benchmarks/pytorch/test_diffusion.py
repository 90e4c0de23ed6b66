"""PyTorch's U-Net and sampler say what ours say, weights ported."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from syndata_jax.benchmarks.pytorch import diffusion as peer
from syndata_jax.diffusion import edm
from syndata_jax.diffusion.model import (
  DiffusionOptions,
  denoiser,
  init,
  loss,
  make_network,
)
from syndata_jax.diffusion.model import applied as apply_of
from syndata_jax.diffusion.sampler import sample
from syndata_jax.keys import stream

torch = pytest.importorskip(
  "torch", reason="the peers need PyTorch (extra `benchmark`)"
)

CLASSES = 3
# Sides of odd halves, channels that change, attention at two levels.
OPTIONS = DiffusionOptions(
  width=8, multipliers=(1, 2), blocks=1, attention=(3, 6)
)
SHAPE = (6, 5, 2)


def twins(options=OPTIONS, shape=SHAPE):
  """Module and parameters of ours, none of which is zero, and the twin."""
  module = make_network(options, shape, CLASSES)
  params = init(jax.random.key(0), module, shape)
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda leaf: (leaf + 0.1 * rng.normal(size=leaf.shape)).astype(np.float32),
    params,
  )
  twin = peer.build(options, shape, CLASSES)
  peer.port(twin, params)
  return module, params, twin.to(memory_format=torch.channels_last)


def test_networks_agree():
  module, params, twin = twins()
  rng = np.random.default_rng(1)
  x = rng.normal(size=(4, *SHAPE)).astype(np.float32)
  noise = rng.normal(size=4).astype(np.float32)
  labels = np.array([0, 1, 2, 3], np.int32)  # the last is no class
  ours = jax.jit(module.apply)({"params": params}, x, noise, labels)
  with torch.inference_mode():
    theirs = twin(
      torch.from_numpy(x).permute(0, 3, 1, 2),
      torch.from_numpy(noise),
      torch.from_numpy(labels).long(),
    ).permute(0, 2, 3, 1)
  assert np.abs(ours).mean() > 0.1
  np.testing.assert_allclose(theirs, ours, atol=1e-4)
  count = sum(leaf.size for leaf in jax.tree.leaves(params))
  assert count == sum(p.numel() for p in twin.parameters())


@pytest.mark.slow
def test_samples_agree():
  module, params, twin = twins()
  sigmas = edm.schedule(5)
  labels = np.array([2, 0], np.int32)
  noise = np.random.default_rng(2).normal(size=(2, *SHAPE))
  noise = (sigmas[0] * noise).astype(np.float32)
  denoise = denoiser(module, params, jnp.asarray(labels))
  ours = jax.jit(lambda noise: sample(denoise, noise, sigmas))(noise)
  with torch.inference_mode():
    theirs = peer.sample(
      twin,
      torch.from_numpy(noise).permute(0, 3, 1, 2),
      torch.from_numpy(labels).long(),
      sigmas.tolist(),
    ).permute(0, 2, 3, 1)
  np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_losses_agree(monkeypatch):
  """The same noise, drawn by us: the loss that PyTorch's step returns."""
  module, params, twin = twins()
  rng = np.random.default_rng(3)
  pixels = rng.integers(0, 256, (4, *SHAPE), np.uint8)
  labels = np.array([0, 1, 2, 0], np.int32)
  key = jax.random.key(5)
  images = pixels.astype(np.float32) / 127.5 - 1
  network = apply_of(module)
  each = jax.jit(lambda images: loss(network, params, key, images, labels))
  ours = each(images).mean()
  # The draws of `loss`: of the noise level, and of the noise.
  level, noise = (
    np.array(jax.random.normal(stream(key, name), shape))
    for name, shape in (("sigma", (4,)), ("noise", images.shape))
  )
  monkeypatch.setattr(torch, "randn", lambda *a, **k: torch.from_numpy(level))
  monkeypatch.setattr(
    torch,
    "randn_like",
    lambda x: torch.from_numpy(noise).permute(0, 3, 1, 2),
  )
  monkeypatch.setattr(torch, "rand", lambda *a, **k: torch.ones(4))
  step = peer.training_step(twin, OPTIONS, CLASSES)
  images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
  first = step(images, torch.from_numpy(labels).long())
  np.testing.assert_allclose(first, ours, rtol=1e-4)
  for _ in range(5):
    last = step(images, torch.from_numpy(labels).long())
  assert last < first  # it learns
