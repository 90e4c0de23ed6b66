"""The Gaussian mechanism without sampling, in closed form.

Any number of adaptive Gaussian releases is exactly as private as one Gaussian
release with mu = sqrt(sum of (sensitivity / standard deviation)^2), Dong, Roth
and Su, "Gaussian Differential Privacy" (2019), Corollary 3.3.
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from syndata_jax.privacy import validate


def gaussian_delta(epsilon: float, mu: ArrayLike) -> np.ndarray:
  """The smallest delta at which a Gaussian release is (epsilon, delta)-DP.

  Balle and Wang, "Improving the Gaussian Mechanism" (2018), Theorem 8:
  Phi(mu/2 - epsilon/mu) - exp(epsilon) Phi(-mu/2 - epsilon/mu). Both terms are
  written with the scaled complementary error function, so that nothing
  overflows or cancels, whatever the size of epsilon.

  Args:
    epsilon: at least 0.
    mu: real[...], sensitivity over standard deviation, at least 0.

  Returns:
    f64[...]; 0 where mu is 0.
  """
  mu = np.asarray(mu, np.float64)
  with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
    upper = epsilon / mu - mu / 2
    lower = epsilon / mu + mu / 2
    # exp(epsilon) Phi(-lower) is exp(-upper^2 / 2) erfcx(lower / sqrt 2) / 2.
    scale = np.exp(-upper * upper / 2) / 2
    second = scale * special.erfcx(lower / math.sqrt(2))
    tail = scale * special.erfcx(upper / math.sqrt(2)) - second
    bulk = special.ndtr(-upper) - second
  delta = np.where(upper > 0, tail, bulk)
  return np.where(mu > 0, np.maximum(delta, 0.0), 0.0)


def gaussian_epsilon(mu: float, delta: float) -> float:
  """The smallest epsilon at which a Gaussian release is (epsilon, delta)-DP.

  The inverse of `gaussian_delta`, by bisection until no number lies between.

  Args:
    mu: sensitivity over standard deviation, at least 0; of several releases
      the root of the sum of squares.
    delta: between 0 and 1.

  Returns:
    Epsilon in nats, at least 0; infinite where mu is, or mu^2 would be.
  """
  if gaussian_delta(0.0, mu) <= delta:
    return 0.0
  low, high = 0.0, 1.0
  while high < math.inf and gaussian_delta(high, mu) > delta:
    low, high = high, 2 * high
  while low < (middle := (low + high) / 2) < high:
    if gaussian_delta(middle, mu) <= delta:
      high = middle
    else:
      low = middle
  return high


def gaussian_noise_multiplier(
  epsilon: float, releases: int, delta: float
) -> float:
  """The noise that makes several Gaussian releases (epsilon, delta)-DP.

  Exact: the curve of `gaussian_delta` is inverted, by bisection in mu, with no
  bracket for epsilon to fall out of. For Private Evolution, whose histogram
  has sensitivity 1 when one record is added or removed.

  Args:
    epsilon: of all releases together, in nats, above 0.
    releases: their number, at least 1.
    delta: between 0 and 1.

  Returns:
    Standard deviation of the noise over the L2 sensitivity of one release.

  Raises:
    UserError: a value that is not as above.
  """
  validate.check_epsilon(epsilon)
  validate.check_count("releases", releases)
  validate.check_delta(delta)
  low, high = 0.0, 1.0
  while gaussian_delta(epsilon, high) <= delta:
    low, high = high, 2 * high
  # Until no number lies between: `low` then still satisfies the target.
  while low < (middle := (low + high) / 2) < high:
    if gaussian_delta(epsilon, middle) <= delta:
      low = middle
    else:
      high = middle
  return math.sqrt(releases) / low
