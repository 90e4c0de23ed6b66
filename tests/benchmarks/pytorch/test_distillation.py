"""PyTorch's distillation steps find the same losses and gradients as ours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from variants import others_slow

from syndata_jax.benchmarks.harness.workload import NUM_CLASSES, Workload
from syndata_jax.benchmarks.pytorch import distillation as peer
from syndata_jax.benchmarks.pytorch import networks, trajectory
from syndata_jax.benchmarks.suites import distillation as suite
from syndata_jax.ensemble import answers
from syndata_jax.paradigms.distillation.dc import gradient_distance
from syndata_jax.paradigms.distillation.dm import distribution_loss
from syndata_jax.paradigms.distillation.mtt import exact_gradient
from syndata_jax.paradigms.distillation.synthetic import Synthetic
from syndata_jax.paradigms.distillation.tesla import tesla_gradient

torch = pytest.importorskip("torch", reason="the peers need PyTorch")

WORK = Workload(
  "convnet", {"width": 4, "depth": 2}, (8, 8, 1), 3, augment=False
)
TINY = suite.Plan("mtt", WORK, 1, inner_steps=2, models=2)
SETUP = suite.make_setup(TINY, 1, jax.local_devices()[:1])
RATE, STEPS = 0.05, 3


def ported(params):
  """PyTorch's network with our parameters."""
  module = peer.network(WORK)
  networks.port(module, {"params": params})
  return module


def turned(images):
  """Channels before height and width, as PyTorch has them."""
  return torch.from_numpy(np.moveaxis(np.array(images), -1, -3).copy())


def drawn():
  random = np.random.default_rng(0)
  start, target = (SETUP.network.init(jax.random.key(i)) for i in range(2))
  images = random.normal(size=(NUM_CLASSES, 8, 8, 1)).astype(np.float32)
  return start, target, images, np.arange(NUM_CLASSES, dtype=np.int32)


@pytest.mark.parametrize("method", others_slow(["mtt", "tesla"]))
def test_trajectories(method):
  start, target, images, labels = drawn()
  batches = np.tile(np.arange(NUM_CLASSES), (STEPS, 1))
  ours = exact_gradient if method == "mtt" else tesla_gradient
  theirs = (
    trajectory.trajectory_gradient
    if method == "mtt"
    else trajectory.tesla_gradient
  )
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
  segment = trajectory.Segment(
    modules[0],
    *weights,
    turned(images).requires_grad_(),
    torch.from_numpy(labels).long(),
    torch.tensor(RATE, requires_grad=True),
    torch.from_numpy(batches),
  )
  want, by_images, by_rate = theirs(segment)
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


@pytest.mark.slow
def test_matching_of_distributions_and_gradients():
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


@pytest.mark.slow
def test_an_iteration_of_many_shadows_is_a_job():
  job = suite.prepare(TINY, 2, 2, jax.local_devices()[:1])
  job.run()
  assert job.work == 4


@pytest.mark.parametrize("method", ["dm", "dsa", "mtt", "tesla"])
def test_an_iteration_of_the_peer_updates_what_the_method_learns(method):
  plan = TINY._replace(method=method, outer_steps=2, inner_epochs=1)
  shadow = peer.make_shadow(WORK, plan.options, suite.private(plan, 1))
  synthetic = peer.noise(shadow)
  images, rate = synthetic.images.detach().clone(), float(synthetic.rate)
  peer.iteration(shadow, synthetic)()
  moved = (synthetic.images - images).abs().flatten(1).amax(1)
  assert torch.isfinite(synthetic.images).all()
  learns_rate = method in ("mtt", "tesla")
  # So few steps of a trajectory move a pixel by less than it is rounded to.
  assert (moved > 0).any() if learns_rate else (moved > 0).all()
  assert (float(synthetic.rate) != rate) == learns_rate
