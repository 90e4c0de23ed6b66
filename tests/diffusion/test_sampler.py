"""Samplers against the denoiser of a Gaussian, which has a closed form.

For images of mean m and covariance C the ideal denoiser is
D(x, s) = m + C (C + s^2 I)^-1 (x - m), and the flow of the sampler keeps
(C + s^2 I)^(-1/2) (x - m).
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from syndata_jax.diffusion import edm, sampler

MEAN = np.array([0.3, -0.2])
COVARIANCE = np.array([[0.30, 0.12], [0.12, 0.10]])
VALUES, VECTORS = np.linalg.eigh(COVARIANCE)


def gaussian(x, sigma):
  """The ideal denoiser; images of two pixels."""
  shrink = VALUES / (VALUES + sigma[:, None] ** 2)
  centred = (x.reshape(-1, 2) - MEAN) @ VECTORS
  return ((shrink * centred) @ VECTORS.T + MEAN).reshape(x.shape)


def flow(x, begin):
  """Where the exact flow takes x from sigma = begin to 0."""
  centred = (x.reshape(-1, 2) - MEAN) @ VECTORS
  scaled = centred * np.sqrt(VALUES / (VALUES + begin**2))
  return (scaled @ VECTORS.T + MEAN).reshape(x.shape)


def drawn(count, scale=80.0):
  noise = np.random.default_rng(0).normal(size=(count, 1, 2, 1))
  return jnp.asarray(scale * noise, jnp.float32)


def test_heun_has_mean_and_covariance_and_is_of_second_order():
  noise = drawn(4000)
  exact = flow(np.asarray(noise, np.float64), 80.0)
  errors = []
  for steps in (10, 20, 40):
    images = sampler.sample(gaussian, noise, edm.schedule(steps))
    errors.append(np.sqrt(((images - exact) ** 2).mean()))
  # Twice the steps, a quarter of the error (a first-order method: half).
  assert errors[0] / errors[1] > 3.3 and errors[1] / errors[2] > 3.3
  assert errors[2] < 0.01
  flat = np.asarray(images).reshape(-1, 2)
  np.testing.assert_allclose(flat.mean(0), MEAN, atol=0.04)
  np.testing.assert_allclose(np.cov(flat.T), COVARIANCE, atol=0.03)


def test_the_loop_over_evaluations_is_algorithm_1():
  """Of a denoiser that is not linear, written step by step."""
  denoise = lambda x, sigma: np.tanh(x) / (1 + sigma.reshape(-1, 1, 1, 1))
  sigmas = [3.0, 1.0, 0.4, 0.1, 0.0]
  noise = np.random.default_rng(2).normal(size=(3, 2, 2, 1)) * 3
  x = noise
  for now, after in itertools.pairwise(sigmas):
    full = lambda s: np.full(3, s)
    slope = (x - denoise(x, full(now))) / now
    euler = x + (after - now) * slope
    if after:
      second = (euler - denoise(euler, full(after))) / after
      euler = x + (after - now) * (slope + second) / 2
    x = euler
  got = sampler.sample(
    lambda x, sigma: jnp.tanh(x) / (1 + sigma.reshape(-1, 1, 1, 1)),
    jnp.asarray(noise, jnp.float32),
    sigmas,
  )
  np.testing.assert_allclose(got, x, rtol=1e-4, atol=1e-5)


def test_fresh_noise_keeps_mean_and_covariance():
  """The stochastic sampler forgets its start, and samples the same."""
  noise, sigmas = drawn(4000), edm.schedule(60)
  run = lambda key, churn: sampler.sample_stochastic(
    gaussian, jax.random.key(key), noise, sigmas, churn, 0.0, 100.0, 1.0
  )
  images = run(0, 30.0)
  flat = np.asarray(images).reshape(-1, 2)
  # Five standard errors, and the steps' own error.
  np.testing.assert_allclose(flat.mean(0), MEAN, atol=0.05)
  np.testing.assert_allclose(np.cov(flat.T), COVARIANCE, atol=0.04)
  assert np.corrcoef(images.ravel(), run(1, 30.0).ravel())[0, 1] < 0.9
  heun = sampler.sample(gaussian, noise, sigmas)
  np.testing.assert_array_equal(run(0, 0.0), heun)


def test_noise_is_added_where_the_paper_says():
  """Algorithm 2 with a denoiser that always says 0: x shrinks with sigma."""
  sigmas = np.array([4.0, 2.0, 1.0, 0.5, 0.0])
  seen = []

  def denoise(x, sigma):
    jax.debug.callback(lambda s: seen.append(float(s[0])), sigma, ordered=True)
    return jnp.zeros_like(x)

  sampler.sample_stochastic(
    denoise, jax.random.key(0), drawn(2, 4.0), sigmas, 0.8, 0.9, 2.5, 1.0
  )
  jax.effects_barrier()
  # churn / N = 0.2: only 2 and 1 lie within the bounds, and are raised to 2.4
  # and 1.2 before the first of their two evaluations.
  np.testing.assert_allclose(seen, [4, 2, 2.4, 1, 1.2, 0.5, 0.5], rtol=1e-6)


def test_guidance_goes_beyond_the_class():
  labels = jnp.array([0, 2])
  of_label = lambda x, sigma, labels: (
    x * 0 + (labels + 1.0).reshape(-1, 1, 1, 1)
  )
  x, sigma = jnp.ones((2, 1, 1, 1)), jnp.ones(2)
  say = lambda weight: sampler.guided(of_label, labels, weight, 9)(x, sigma)
  for weight in (0.0, 1.0, 2.5):
    # The class says 1 and 3, no class says 10.
    want = 10 + weight * (np.array([1.0, 3.0]) - 10)
    np.testing.assert_allclose(say(weight).ravel(), want)


def test_image_to_image_returns_its_input_at_0_and_forgets_it_at_1():
  images = jnp.clip(drawn(300, 0.5), -1, 1)
  sigmas, key = edm.schedule(18), jax.random.key(3)
  run = lambda strength: sampler.image_to_image(
    gaussian, key, images, strength, sigmas
  )
  np.testing.assert_array_equal(run(0.0), images)
  likeness = [
    np.corrcoef(run(s).ravel(), images.ravel())[0, 1]
    for s in (0.2, 0.5, 0.7, 1.0)
  ]
  assert likeness[0] > 0.99
  assert likeness[0] > likeness[1] > likeness[2] > likeness[3]
  assert abs(likeness[3]) < 0.3
  # From the first step on it is sampling from noise that the images ride on.
  begin = images + 80 * jax.random.normal(
    jax.random.split(key)[0], images.shape
  )
  np.testing.assert_allclose(
    run(1.0), sampler.sample(gaussian, begin, sigmas), atol=1e-4
  )


@pytest.mark.parametrize(
  ("strength", "steps", "index"),
  [(0, 18, 18), (1, 18, 0), (0.5, 18, 9), (0.3, 10, 7), (0.02, 18, 18)],
)
def test_strength_says_where_it_begins(strength, steps, index):
  assert sampler.first_step(strength, steps) == index
