"""Zero-concentrated differential privacy: Renyi divergences that are lines.

For mechanisms whose exact curve nobody knows, such as Skellam noise on a
vector. The Renyi divergence of order a is at most xi + rho a, and several
releases add up in rho and in xi (Bun and Steinke, "Concentrated Differential
Privacy", arXiv 1605.02065). A Gaussian mechanism has rho = mu^2 / 2 and xi = 0.
"""

import math

import numpy as np

from syndata_jax.privacy import validate

# Orders that are whole numbers: some bounds are proved for these alone.
_ORDERS = np.unique(
  np.concatenate([np.arange(2, 257), np.geomspace(256, 1e9, 6000).round()])
)


def concentrated_epsilon(rho: float, xi: float, delta: float) -> float:
  """An epsilon at which a concentrated mechanism is (epsilon, delta)-DP.

  The best of the orders 2, 3, ... by Canonne, Kamath and Steinke, "The
  Discrete Gaussian for Differential Privacy", arXiv 2004.00010, proposition
  12. Some percent above the exact one of a Gaussian mechanism.

  Args:
    rho: at least 0, may be infinite.
    xi: at least 0.
    delta: between 0 and 1.

  Returns:
    Epsilon in nats, at least 0.

  Raises:
    UserError: a value that is not as above.
  """
  validate.check_not_negative("rho", rho)
  validate.check_not_negative("xi", xi)
  validate.check_delta(delta)
  if rho == xi == 0:
    return 0.0
  if not math.isfinite(rho) or not math.isfinite(xi):
    return math.inf
  bounds = (
    xi
    + rho * _ORDERS
    + np.log1p(-1 / _ORDERS)
    - np.log(delta * _ORDERS) / (_ORDERS - 1)
  )
  return max(0.0, float(bounds.min()))
