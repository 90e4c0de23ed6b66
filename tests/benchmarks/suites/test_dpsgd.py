"""The suite of DP-SGD: equal work of ours and of Opacus, where installed."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from syndata_jax.benchmarks.harness.record import NotRun
from syndata_jax.benchmarks.harness.task import engine
from syndata_jax.benchmarks.harness.workload import (
  MEAN,
  NUM_CLASSES,
  STD,
  Workload,
)
from syndata_jax.benchmarks.pytorch import networks, private
from syndata_jax.benchmarks.suites import dpsgd
from syndata_jax.paradigms.dpsgd.clipping import clipped_sum

TINY = Workload("convnet", {"width": 4, "depth": 2}, (8, 8, 1), 8, False)


def installed(name):
  return importlib.util.find_spec(name) is not None


needs_opacus = pytest.mark.skipif(
  not (installed("torch") and installed("opacus")),
  reason="PyTorch or Opacus is not installed",
)


@pytest.mark.slow
@pytest.mark.parametrize(
  "method", ["ghost", pytest.param("formed", marks=pytest.mark.slow)]
)
def test_a_round_of_ours_trains_all_models(method):
  job = dpsgd.prepare(TINY, 2, 3, method)
  job.run()
  assert job.work == 2 * 3 * 8
  assert job.peak_bytes() > 0 and job.compilation.first > 0


def test_every_way_and_every_mode_has_a_row(monkeypatch):
  seen = []
  monkeypatch.setattr(
    dpsgd, "measure", lambda *a: seen.append([c.name for c in a[2]])
  )
  for case in dpsgd.suite(True, 1).cases:
    case()
  names = " ".join(seen[0])
  for word in ("ghost", "formed", "not private", "hooks", "functorch"):
    assert word in names
  assert seen[-1] == ["microbatch 4", "microbatch 16", "microbatch 64"]


@pytest.mark.skipif(installed("opacus"), reason="Opacus is installed")
def test_without_opacus_its_rows_say_so():
  with pytest.raises(NotRun, match=r"not installed; pip install"):
    private.prepare(TINY, "hooks", 2, 1.0, 1.0)


@needs_opacus
@pytest.mark.parametrize("mode", private.MODES)
def test_opacus_takes_its_steps(mode):
  private.prepare(TINY, mode, 2, 1.0, 1.0).run()


@pytest.mark.slow
@needs_opacus
def test_norms_and_sums_equal_those_of_opacus():
  """The same weights, images and labels, in PyTorch and here."""
  import torch
  from opacus.grad_sample import GradSampleModule

  model = TINY.network()
  params = model.init(jax.random.key(0), jnp.zeros((1, *TINY.image_shape)))
  module = networks.build(
    TINY.model, NUM_CLASSES, TINY.image_shape, **TINY.options
  )
  networks.port(module, {"params": params["params"]})
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (6, 1, *TINY.image_shape), dtype=np.uint8)
  labels = rng.integers(0, NUM_CLASSES, 6)
  clip = 1.0
  ours = clipped_sum(
    engine(TINY, 1, jax.devices()[:1]),
    params["params"],
    jnp.asarray(images),
    jnp.asarray(labels),
    jnp.ones(6, bool),
    clip,
    "ghost",
  )
  opacus = GradSampleModule(module, loss_reduction="sum")
  pixels = (images[:, 0].transpose(0, 3, 1, 2) / 255.0 - MEAN) / STD
  logits = opacus(torch.from_numpy(pixels.astype(np.float32)))
  torch.nn.functional.cross_entropy(
    logits, torch.from_numpy(labels), reduction="sum"
  ).backward()
  gradients = [p.grad_sample.flatten(1) for p in opacus.parameters()]
  norms = torch.cat(gradients, 1).norm(dim=1).numpy()
  np.testing.assert_allclose(ours.norms, norms, rtol=1e-4)
  assert norms.max() > clip
  factors = np.minimum(1, clip / norms)
  # Sizes of the sums leaf by leaf: layouts differ between the two.
  sizes = sorted(
    float(jnp.linalg.norm(leaf)) for leaf in jax.tree.leaves(ours.total)
  )
  theirs = sorted(float(np.linalg.norm(factors @ g.numpy())) for g in gradients)
  np.testing.assert_allclose(sizes, theirs, rtol=1e-3, atol=1e-5)
