"""DP-SGD of adapters: its gradient, its noise, and what the ledger says.

The U-Net takes long to compile, so most tests tune a network of three layers.
"""

import dataclasses
import math

import dp_accounting
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dp_accounting import pld
from flax import linen as nn

from syndata_jax.diffusion import base as bases
from syndata_jax.diffusion import lora, model
from syndata_jax.errors import UserError
from syndata_jax.evolution.apis import ApiOptions, diffusion, hybrid
from syndata_jax.evolution.apis.hybrid import TuningOptions
from syndata_jax.evolution.noise_left import noise_multiplier_left
from syndata_jax.keys import stream
from syndata_jax.models import layers
from syndata_jax.privacy import Ledger, Release

KEY = jax.random.key(0)
DRAWS, CLIP, DELTA = 2, 2.7, 1e-3
OPTIONS = TuningOptions(
  tuning_noise_multiplier=1.0,
  tuning_steps=3,
  tuning_batch=8,
  tuning_clip_norm=CLIP,
  tuning_rank=2,
  tuning_draws=DRAWS,
  tuning_microbatch=4,
  tuning_average=0.0,
)


def private(count=24):
  random = np.random.default_rng(3)
  images = random.integers(0, 256, (count, 4, 4, 1), dtype=np.uint8)
  return images, np.arange(count) % 3


def adapters(base):
  """Away from the start, where half of the gradients are zero."""
  fresh = lora.init(KEY, base.params, 2)
  random = np.random.default_rng(4)
  return jax.tree.map(
    lambda a: a + jnp.asarray(0.1 * random.normal(size=a.shape), jnp.float32),
    fresh,
  )


class Small(nn.Module):
  """Called as the U-Net is."""

  num_classes: int = 3

  @nn.compact
  def __call__(self, x, noise, labels, train=False):
    classes = jax.nn.one_hot(labels, self.num_classes + 1)
    known = jnp.concatenate([classes, noise[:, None]], axis=-1)
    y = layers.Conv(8)(x) + nn.Dense(8)(known)[:, None, None]
    return layers.Conv(1)(nn.silu(y))


@pytest.fixture(scope="module")
def small(base):
  """The base of tests, but for its network."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(hybrid, "make_network", lambda *arguments: Small())
    params = model.init(jax.random.key(0), Small(), (4, 4, 1))
    yield base._replace(params=jax.tree.map(np.asarray, params))


@pytest.fixture(scope="module")
def mechanism():
  return hybrid.mechanism(OPTIONS, 24, DELTA)


@pytest.fixture(scope="module")
def one(mechanism):
  """The same, for a single step: what is tuned here is compiled once."""
  return dataclasses.replace(mechanism, steps=1)


def network(base):
  return model.applied(Small(), base.params)


@pytest.fixture(scope="module")
def summed(small):
  """The sum of clipped gradients, compiled once."""
  hide = lambda key, labels: model.hidden(key, labels, 0.2, 3)
  return jax.jit(
    lambda tree, images, keys, labels, valid, clip_norm: hybrid.clipped_sum(
      network(small),
      tree,
      (images, keys),
      labels,
      valid,
      hide,
      clip_norm,
      DRAWS,
    )
  )


def test_the_sum_is_that_of_a_loop_over_examples(small, mechanism, summed):
  """Each example's own gradient, clipped in float64; padding is nothing."""
  tree, size = adapters(small), mechanism.batch_size(4)
  images, labels = private(size)
  keys = jax.random.split(KEY, size)
  valid = np.arange(size) < 5

  @jax.jit
  def gradient(image, label, key):
    copies = jnp.stack([image / 127.5 - 1] * DRAWS)
    names = model.hidden(key, jnp.stack([label] * DRAWS), 0.2, 3)
    apply = network(small)
    losses = lambda tree: model.loss(apply, tree, key, copies, names).mean()
    return jax.grad(losses)(tree)

  each = [
    jax.tree.map(
      lambda a: np.asarray(a, float),
      gradient(images[row], labels[row], keys[row]),
    )
    for row in range(5)
  ]
  norms = np.array(
    [
      math.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(one)))
      for one in each
    ]
  )
  clip_norm = np.median(norms)
  scales = np.minimum(1, clip_norm / norms)
  assert scales.min() < 0.95 and scales.max() == 1
  expected = jax.tree.map(
    lambda *leaves: sum(s * a for s, a in zip(scales, leaves, strict=True)),
    *each,
  )
  got = summed(tree, images, keys, labels, valid, clip_norm)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-4),
    got,
    expected,
  )


@pytest.mark.slow
def test_a_step_is_that_of_the_mechanism(small, one, summed):
  """Its sample, noise and divisor: Adam's first step shows their signs."""
  images, labels = private()
  root = jax.random.key(5)
  tuned = hybrid.tune(small, images, labels, one, root, OPTIONS)
  fresh = lora.init(stream(root, "adapters"), small.params, 2)
  now = jax.random.fold_in(stream(root, "hybrid"), 0)
  index, padding = one.sample(now, 4)
  assert 0 < padding.sum() < len(index)
  draws = jax.vmap(lambda row: jax.random.fold_in(stream(now, "draws"), row))
  total = summed(
    fresh, images[index], draws(index), labels[index], ~padding, CLIP
  )
  noise = one.noise(now, total)
  clear = 0
  for before, after, exact, drawn in zip(
    *map(jax.tree.leaves, (fresh, tuned, total, noise)), strict=True
  ):
    noisy = np.asarray(exact + drawn)
    agrees = np.sign(before - after) == np.sign(noisy)
    assert agrees[abs(noisy) > 1e-2].all()
    clear += (np.sign(noisy) != np.sign(exact)).sum()
  assert clear > 100  # the noise decides


@pytest.mark.slow
def test_tuning_again_gives_the_same(small, one):
  images, labels = private()
  done = []
  tune = lambda key, *rest: hybrid.tune(
    small, images, labels, one, key, OPTIONS, *rest
  )
  once, again, other = (
    tune(KEY, done.append),
    tune(KEY),
    tune(jax.random.key(1)),
  )
  assert done == [1]
  jax.tree.map(np.testing.assert_array_equal, once, again)
  leaves = zip(*map(jax.tree.leaves, (once, other)), strict=True)
  assert all((a != b).any() for a, b in leaves)


@pytest.mark.slow
def test_without_noise_the_loss_falls(small):
  """Many steps on few images, hardly clipped: they are learned."""
  images, labels = private(6)
  images[:] = np.arange(6).reshape(6, 1, 1, 1) * 40
  options = dataclasses.replace(
    OPTIONS,
    tuning_noise_multiplier=1e-6,
    tuning_steps=60,
    tuning_batch=6,
    tuning_clip_norm=10.0,
    tuning_learning_rate=0.03,
    tuning_microbatch=6,
  )
  # All of them in every step: the mechanism samples nothing.
  mechanism = hybrid.mechanism(options, 6, DELTA)
  tuned = hybrid.tune(small, images, labels, mechanism, KEY, options)
  apply = network(small)

  @jax.jit
  def loss(tree):
    copies = model.signed(jnp.asarray(np.repeat(images, 40, 0)))
    names = jnp.asarray(np.repeat(labels, 40))
    return model.loss(apply, tree, jax.random.key(9), copies, names).mean()

  before = loss(lora.init(KEY, small.params, 2))
  assert loss(tuned) < 0.8 * before


def test_the_ledger_composes_tuning_and_votes(mechanism):
  """Losses are composed, as dp-accounting does it; epsilons are not added."""
  tuning = hybrid.release(mechanism, OPTIONS)
  votes = Release(
    mechanism="votes",
    kind="votes",
    event=dp_accounting.GaussianDpEvent(4.0),
    count=5,
    replace_one_sensitivity=math.sqrt(2),
  )
  ledger = Ledger(DELTA).add(tuning).add(votes)
  accountant = pld.PLDAccountant(
    dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE
  )
  accountant.compose(
    dp_accounting.PoissonSampledDpEvent(
      8 / 24, dp_accounting.GaussianDpEvent(1.0)
    ),
    3,
  )
  accountant.compose(dp_accounting.GaussianDpEvent(4.0), 5)
  expected = accountant.get_epsilon(DELTA)
  assert ledger.epsilon() == pytest.approx(expected, rel=2e-3)
  alone = [Ledger(DELTA).add(one).epsilon() for one in (tuning, votes)]
  assert max(alone) < ledger.epsilon() < 0.9 * sum(alone)


@pytest.mark.slow
def test_the_noise_that_is_left_uses_up_the_budget(mechanism):
  ledger = Ledger(DELTA, budget=4.0).add(hybrid.release(mechanism, OPTIONS))
  noise = noise_multiplier_left(ledger, 5)
  votes = lambda noise: Release(
    mechanism="votes",
    kind="votes",
    event=dp_accounting.GaussianDpEvent(noise),
    count=5,
    replace_one_sensitivity=math.sqrt(2),
  )
  full = ledger.add(votes(noise))
  assert 3.99 < full.epsilon() <= 4.0
  with pytest.raises(UserError, match="budget=4"):
    ledger.add(votes(0.999 * noise))
  with pytest.raises(UserError, match="budget=None"):
    noise_multiplier_left(Ledger(DELTA), 5)


def test_a_budget_that_is_too_small_computes_nothing(base, mechanism):
  images, labels = private()
  ledger = Ledger(DELTA, budget=0.5)
  broken = base._replace(params=None)
  with pytest.raises(UserError, match=r"budget=0\.5: epsilon 0 is spent"):
    hybrid.paid(ledger, broken, images, labels, mechanism, KEY, OPTIONS)
  assert not ledger.releases


@pytest.mark.slow
def test_a_paid_generator_draws_with_its_adapters(base, one, monkeypatch):
  """With the U-Net."""
  monkeypatch.setattr(hybrid, "make_network", model.make_network)
  images, labels = private()
  tree, ledger = hybrid.paid(
    Ledger(DELTA, budget=20.0), base, images, labels, one, KEY, OPTIONS
  )
  assert [release.kind for release in ledger.releases] == ["generator"]
  assert "LoRA adapters of rank 2" in ledger.releases[0].mechanism
  options = ApiOptions(sampling_steps=2)
  api = diffusion.from_base(base, options, tree)
  assert jax.jit(api.random)(KEY, jnp.arange(3)).images.shape == (3, 4, 4, 1)


def test_what_does_not_fit_the_accounting(base, mechanism):
  images, labels = private()
  cases = [
    ((base, images[:-1], labels[:-1]), "images: 23: must be 24"),
    ((base, images[:, :3], labels), r"makes images of \(4, 4, 1\)"),
    ((base, images, labels + 1), "has 3 classes"),
    (
      (base._replace(seen=bases.digests(images[:4])), images, labels),
      "base: has learned from 4 of the private images",
    ),
  ]
  for given, expected in cases:
    with pytest.raises(UserError, match=expected):
      hybrid.tune(*given, mechanism, KEY, OPTIONS)
  with pytest.raises(UserError, match="tuning: expected_batch=8: must be at"):
    hybrid.mechanism(OPTIONS, 7, DELTA)
  with pytest.raises(UserError, match="set one of them above 0"):
    TuningOptions()


def test_the_noise_of_an_epsilon():
  options = dataclasses.replace(
    OPTIONS, tuning_noise_multiplier=0.0, tuning_epsilon=2.0
  )
  solved = hybrid.mechanism(options, 24, DELTA)
  assert 1.98 < solved.epsilon <= 2.0
