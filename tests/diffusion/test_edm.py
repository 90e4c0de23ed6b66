"""EDM's formulas against those of the paper, written again in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from syndata_jax.diffusion import edm
from syndata_jax.errors import UserError

SIGMA = np.array([0.002, 0.1, 0.5, 3.0, 80.0])


def test_the_denoiser_is_table_1():
  rng = np.random.default_rng(0)
  x = rng.normal(size=(5, 2, 3, 1)) * np.maximum(SIGMA, 1)[:, None, None, None]
  data = 0.7

  def network(x, noise):
    return jnp.tanh(x) + noise[:, None, None, None]

  said = edm.precondition(
    network, jnp.asarray(x, jnp.float32), jnp.asarray(SIGMA, jnp.float32), data
  )
  for index, s in enumerate(SIGMA):
    c_skip = data**2 / (s**2 + data**2)
    c_out = s * data / (data**2 + s**2) ** 0.5
    c_in = 1 / (s**2 + data**2) ** 0.5
    c_noise = np.log(s) / 4
    want = c_skip * x[index] + c_out * (np.tanh(c_in * x[index]) + c_noise)
    np.testing.assert_allclose(said[index], want, rtol=2e-5, atol=1e-6)


def test_weighted_errors_of_the_network_count_equally():
  """lambda(sigma) c_out(sigma)^2 = 1, and the weight is the paper's."""
  weight = edm.loss_weight(jnp.asarray(SIGMA), 0.7)
  want = (SIGMA**2 + 0.7**2) / (SIGMA * 0.7) ** 2
  np.testing.assert_allclose(weight, want, rtol=1e-5)
  c_out = SIGMA * 0.7 / np.sqrt(0.7**2 + SIGMA**2)
  np.testing.assert_allclose(weight * c_out**2, 1, rtol=1e-5)


def test_noise_of_training_is_log_normal():
  drawn = np.log(edm.training_sigma(jax.random.key(0), (20_000,)))
  assert drawn.mean() == pytest.approx(-1.2, abs=5 * 1.2 / 20_000**0.5)
  assert drawn.std() == pytest.approx(1.2, rel=0.03)
  assert ((drawn < -1.2 - 1.2).mean()) == pytest.approx(0.1587, abs=0.01)


def test_the_schedule_is_equation_5():
  got = edm.schedule(18)
  for i in range(18):
    a, b = 80 ** (1 / 7), 0.002 ** (1 / 7)
    assert got[i] == pytest.approx((a + i / 17 * (b - a)) ** 7, rel=1e-9)
  assert got.shape == (19,) and got[-1] == 0
  with pytest.raises(UserError, match="sampling_steps=1"):
    edm.schedule(1)
