"""One object ties sampler, noise, divisor and accounting together."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dp_accounting import pld
from scipy import stats

from syndata_jax import privacy
from syndata_jax.errors import UserError
from syndata_jax.privacy import poisson

_FIELDS = dict(
  num_examples=1_000,
  expected_batch=50,
  clip_norm=2.0,
  noise_multiplier=1.5,
  steps=100,
  delta=1e-4,
)


def _mechanism(**changed):
  return privacy.SubsampledGaussian(**{**_FIELDS, **changed})


def _tree():
  return {
    "kernel": jnp.zeros((40, 50)),
    "again": jnp.zeros((40, 50)),
    "bias": jnp.zeros(30),
  }


def test_noise_has_the_stated_deviation():
  mechanism = _mechanism()
  assert mechanism.noise_stddev == 3.0
  noise = mechanism.noise(jax.random.key(0), _tree())
  assert jax.tree.map(jnp.shape, noise) == jax.tree.map(jnp.shape, _tree())
  flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(noise)])
  assert stats.kstest(flat, "norm", (0, 3.0)).pvalue > 1e-3


def test_leaves_steps_and_models_have_noise_of_their_own():
  mechanism = _mechanism()
  keys = jax.vmap(jax.random.fold_in, (None, 0))(
    jax.random.key(0), jnp.arange(6)
  )
  noises = jax.jit(jax.vmap(mechanism.noise, (0, None)))(keys, _tree())
  rows = np.concatenate(
    [np.asarray(noises["kernel"]), np.asarray(noises["again"])]
  ).reshape(12, -1)
  correlation = np.corrcoef(rows)[np.triu_indices(12, 1)]
  assert np.abs(correlation).max() < 5 / math.sqrt(rows.shape[1])
  # Any two rows differ as two independent draws: deviation 3 sqrt(2).
  difference = rows[1::2] - rows[::2]
  assert difference.std() == pytest.approx(3 * math.sqrt(2), rel=0.03)


@pytest.mark.slow
def test_each_model_draws_its_own_batch():
  mechanism = _mechanism()
  keys = jax.vmap(jax.random.fold_in, (None, 0))(
    jax.random.key(1), jnp.arange(8)
  )
  index, is_padding = jax.vmap(mechanism.sample)(keys)
  alone = mechanism.sample(keys[3])
  np.testing.assert_array_equal(index[3], alone[0])
  np.testing.assert_array_equal(is_padding[3], alone[1])
  drawn = [set(i[~p].tolist()) for i, p in zip(index, is_padding, strict=True)]
  assert len({frozenset(batch) for batch in drawn}) == 8


def test_batch_and_noise_may_share_a_key():
  """What the noise is says nothing about who was drawn: streams differ."""
  key = jax.random.key(5)
  bits = jax.random.bits(key, (1_000,), jnp.uint32)
  index, is_padding = _mechanism().sample(key)
  # The raw key would have drawn these.
  raw = np.flatnonzero(bits <= np.uint32((50 << 32) // 1_000 - 1))
  assert set(raw) != set(np.asarray(index[~is_padding]).tolist())


def test_the_divisor_is_the_expected_batch():
  mechanism = _mechanism(noise_multiplier=0.0)
  total = {"w": jnp.arange(6.0)}
  mean = mechanism.noisy_mean(jax.random.key(0), total)
  np.testing.assert_allclose(mean["w"], np.arange(6.0) / 50, rtol=1e-6)
  noisy = _mechanism().noisy_mean(jax.random.key(0), _tree())
  noise = _mechanism().noise(jax.random.key(0), _tree())
  np.testing.assert_allclose(noisy["bias"], noise["bias"] / 50, rtol=1e-6)


def test_noise_needs_single_precision():
  with pytest.raises(ValueError, match="noise in bfloat16: float32 or wider"):
    _mechanism().noise(jax.random.key(0), jnp.zeros(3, jnp.bfloat16))


def test_epsilon_pays_for_overflow_out_of_delta():
  mechanism = _mechanism()
  size = mechanism.batch_size()
  overflow = poisson.overflow_probability(size, 1_000, 50, 100)
  assert 0 < overflow <= 1e-8
  spent = privacy.epsilon(0.05, 1.5, 100, 1e-4 - overflow)
  assert mechanism.epsilon >= spent
  assert mechanism.epsilon == pytest.approx(
    privacy.epsilon(0.05, 1.5, 100, 1e-4), rel=1e-3
  )
  assert mechanism.replace_one_epsilon > mechanism.epsilon


def test_the_release_pays_for_overflow_beside_its_event():
  for delta in (1e-4, 3e-5, 7.123e-7):
    mechanism = _mechanism(delta=delta)
    release = mechanism.release()
    overflow = poisson.overflow_probability(
      mechanism.batch_size(), 1_000, 50, 100
    )
    assert 0 < overflow <= release.delta < 1.001e-4 * delta
    ledger = privacy.Ledger(delta).add(release)
    # To the last digit.
    assert ledger.epsilon() == mechanism.epsilon
    assert ledger.epsilon("replace_one") == mechanism.replace_one_epsilon


def test_the_event_is_dp_accountings():
  mechanism = _mechanism()
  accountant = pld.PLDAccountant().compose(mechanism.event)
  expected = accountant.get_epsilon(1e-4)
  assert mechanism.epsilon == pytest.approx(expected, rel=3e-4)


def test_padding_to_whole_microbatches():
  mechanism = _mechanism()
  assert mechanism.batch_size(16) % 16 == 0
  assert 0 <= mechanism.batch_size(16) - mechanism.batch_size() < 16
  few, is_few = mechanism.sample(jax.random.key(2))
  many, is_many = mechanism.sample(jax.random.key(2), 16)
  assert len(many) == mechanism.batch_size(16)
  np.testing.assert_array_equal(few[~is_few], many[~is_many])


def test_steps_beyond_the_accounting_are_refused():
  mechanism = _mechanism()
  mechanism.refuse_more_steps(100)
  with pytest.raises(UserError, match="steps=101: must be at most 100"):
    mechanism.refuse_more_steps(101)


def test_noise_is_found_for_a_target():
  fields = {k: v for k, v in _FIELDS.items() if k != "noise_multiplier"}
  mechanism = privacy.calibrated(2.0, **fields)
  assert mechanism.epsilon <= 2.0
  assert mechanism.epsilon == pytest.approx(2.0, rel=1e-3)
  less = dataclasses.replace(
    mechanism, noise_multiplier=0.999 * mechanism.noise_multiplier
  )
  assert less.epsilon > 2.0


@pytest.mark.parametrize(
  "changed, message",
  [
    (dict(delta=None), "delta=None: must be between 0 and 1"),
    (dict(delta=1.1e-3), "delta=0.0011: must be at most 0.001, one over"),
    (dict(expected_batch=1_001), "expected_batch=1001: must be at most"),
    (dict(expected_batch=0), "expected_batch=0: must be a whole number"),
    (dict(clip_norm=0.0), "clip_norm=0.0: must be above 0 and finite"),
    (dict(clip_norm=math.inf), "clip_norm=inf: must be above 0 and finite"),
    (dict(noise_multiplier=-1.0), "noise_multiplier=-1.0: must be 0 or more"),
    (dict(steps=0), "steps=0: must be a whole number of at least 1"),
    (dict(num_examples=0), "num_examples=0: must be a whole number"),
  ],
)
def test_refuses_in_one_line(changed, message):
  with pytest.raises(UserError, match=message) as caught:
    _mechanism(**changed)
  assert "\n" not in str(caught.value)
