"""EDM: what the network is given, what it is to say, how errors count.

Source: Karras et al., "Elucidating the Design Space of Diffusion-Based
Generative Models", arXiv 2206.00364, table 1 and section 5. An image x in
[-1, 1] is seen as x + sigma n; the denoiser D(x, sigma) is to give x back.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax import validate

SIGMA_DATA = 0.5  # deviation of the pixels
# Of log(sigma) in training.
_MEAN, _DEVIATION = -1.2, 1.2


def precondition(
  network: Callable[[jax.Array, jax.Array], jax.Array],
  x: jax.Array,
  sigma: jax.Array,
  sigma_data: float = SIGMA_DATA,
) -> jax.Array:
  """The denoised image: c_skip x + c_out F(c_in x, log(sigma) / 4).

  Inputs and targets of the network F then have variance 1 at any noise.

  Args:
    network: `(x [B,H,W,C], noise [B]) -> [B,H,W,C]`.
    x: noisy images, [B,H,W,C].
    sigma: deviation of their noise, [B], above 0.
    sigma_data: that of the images.

  Returns:
    [B,H,W,C], float32 at least.
  """
  noise = jnp.log(sigma) / 4
  sigma = sigma[:, None, None, None]
  total = sigma**2 + sigma_data**2
  skip = sigma_data**2 / total
  out = sigma * sigma_data / jnp.sqrt(total)
  return skip * x + out * network(x / jnp.sqrt(total), noise)


def loss_weight(sigma: jax.Array, sigma_data: float = SIGMA_DATA) -> jax.Array:
  """Of the squared error of the denoised image: 1 / c_out^2.

  Args:
    sigma: deviations of the noise, any shape.
    sigma_data: that of the images.
  """
  return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2


def training_sigma(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """Deviations of noise to train at, log-normal, f32 of `shape`."""
  return jnp.exp(_MEAN + _DEVIATION * jax.random.normal(key, shape))


def schedule(
  steps: int,
  sigma_min: float = 0.002,
  sigma_max: float = 80.0,
  rho: float = 7.0,
) -> np.ndarray:
  """The deviations that a sampler visits, f64[steps + 1]; the last is 0.

  Equation 5: evenly spaced in the rho-th root.

  Args:
    steps: N, at least 2.
    sigma_min: the last one above 0.
    sigma_max: the first.
    rho: 7 makes the steps near 0 short.

  Raises:
    UserError: fewer than two steps.
  """
  validate.whole(2, sampling_steps=steps)
  low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
  visited = np.linspace(high, low, steps) ** rho
  return np.append(visited, 0.0)
