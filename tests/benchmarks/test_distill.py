"""PyTorch's distillation steps find the same losses and gradients as ours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from syndata_jax.ensemble.epoch import answers

from syndata_jax.benchmarks import distill_angle, distill_task
from syndata_jax.benchmarks.workload import NUM_CLASSES, Workload
from syndata_jax.paradigms.distillation.dc import gradient_distance
from syndata_jax.paradigms.distillation.dm import distribution_loss
from syndata_jax.paradigms.distillation.mtt import exact_gradient
from syndata_jax.paradigms.distillation.synthetic import Synthetic
from syndata_jax.paradigms.distillation.tesla import tesla_gradient

WORK = Workload(
  "convnet", {"width": 4, "depth": 2}, (8, 8, 1), 3, augment=False
)
TINY = distill_task.Plan("mtt", WORK, 1, inner_steps=2, models=2)
SETUP = distill_task.make_setup(TINY, 1, jax.local_devices()[:1])
RATE, STEPS = 0.05, 3


def torch_parts():
  torch = pytest.importorskip("torch", reason="the peers need PyTorch")
  from syndata_jax.benchmarks import torch_distillation, torch_networks

  def ported(params):
    module = torch_distillation.network(WORK)
    torch_networks.port(module, {"params": params})
    return module

  def turned(images):
    return torch.from_numpy(np.moveaxis(np.array(images), -1, -3).copy())

  return torch, torch_distillation, ported, turned


def drawn():
  random = np.random.default_rng(0)
  start, target = (SETUP.network.init(jax.random.key(i)) for i in range(2))
  images = random.normal(size=(NUM_CLASSES, 8, 8, 1)).astype(np.float32)
  return start, target, images, np.arange(NUM_CLASSES, dtype=np.int32)


@pytest.mark.parametrize("method", ["mtt", "tesla"])
def test_trajectories(method):
  torch, peer, ported, turned = torch_parts()
  start, target, images, labels = drawn()
  batches = np.tile(np.arange(NUM_CLASSES), (STEPS, 1))
  ours = exact_gradient if method == "mtt" else tesla_gradient
  theirs = peer.trajectory_gradient if method == "mtt" else peer.tesla_gradient
  loss, gradient = jax.jit(ours, static_argnums=0)(
    SETUP.network.logits,
    start,
    target,
    Synthetic(jnp.asarray(images), jnp.asarray(labels), jnp.float32(RATE)),
    jnp.asarray(batches),
  )
  modules = [ported(params) for params in (start, target)]
  weights = [
    {name: p.detach() for name, p in module.named_parameters()}
    for module in modules
  ]
  given = peer.Segment(
    modules[0],
    *weights,
    turned(images).requires_grad_(),
    torch.from_numpy(labels).long(),
    torch.tensor(RATE, requires_grad=True),
    torch.from_numpy(batches),
  )
  want, by_images, by_rate = theirs(given)
  assert float(loss) == pytest.approx(float(want), rel=1e-4)
  scale = float(by_images.abs().max())
  np.testing.assert_allclose(
    np.moveaxis(gradient.images, -1, -3) / scale,
    by_images.detach() / scale,
    atol=1e-3,
  )
  assert float(gradient.learning_rate) == pytest.approx(
    float(by_rate), rel=1e-3
  )


def test_matching_of_distributions_and_gradients():
  torch, peer, ported, turned = torch_parts()
  params, _, images, _ = drawn()
  random = np.random.default_rng(1)
  real = random.normal(size=(NUM_CLASSES, 3, 8, 8, 1)).astype(np.float32)
  module, synthetic = ported(params), images[:, None]
  ours = distribution_loss(SETUP.network.embed, params, real, synthetic)
  theirs = peer.distribution_loss(module[:-1], turned(real), turned(synthetic))
  assert float(ours) == pytest.approx(float(theirs), rel=1e-4)

  def gradient(x):
    labels = jnp.full(len(x), 2)
    return jax.grad(
      lambda p: answers(SETUP.network.logits(p, x), labels).loss.mean()
    )(params)

  ours = gradient_distance(gradient(real[2]), gradient(synthetic[2]))
  alike = torch.full((3,), 2)
  theirs = peer.matching_loss(
    module, turned(real[2]), turned(synthetic[2]), alike
  )
  assert float(ours) == pytest.approx(float(theirs), rel=1e-3)


def test_an_iteration_of_many_shadows_is_a_job():
  job = distill_task.prepare(TINY, 2, 2, jax.local_devices()[:1])
  job.run()
  assert job.work == 4


def test_the_angle_between_vectors():
  assert distill_angle.angle(
    np.array([1.0, 0]), np.array([1.0, 1])
  ) == pytest.approx(45)
  assert distill_angle.angle(np.array([2.0, 0]), np.array([1.0, 1e-9])) < 1e-6
