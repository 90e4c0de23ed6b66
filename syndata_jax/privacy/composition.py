"""Epsilon of several mechanisms together."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from syndata_jax.privacy import accounting, validate
from syndata_jax.privacy.concentrated import concentrated_epsilon
from syndata_jax.privacy.gaussian import gaussian_epsilon
from syndata_jax.privacy.loss_distribution import refined_epsilon

if TYPE_CHECKING:
  from dp_accounting import DpEvent


def composed_epsilon(
  primitives: Mapping[DpEvent, int],
  delta: float,
  neighbours: str = "add_or_remove_one",
) -> float:
  """Epsilon of mechanisms that are all applied to the same data.

  Each may depend on what the earlier ones have released; their noise, rates
  and number may not (see `Ledger`).

  | case | epsilon |
  |---|---|
  | nothing is released | 0 |
  | Gaussian mechanisms alone | exact, `gaussian_epsilon` |
  | one Poisson-subsampled Gaussian, any number of steps | as `epsilon` |
  | a mechanism without noise among others | infinity |
  | a `ZCDpEvent` among others | a sum of epsilons, see `concentrated_epsilon` |
  | any other | the smaller of their PLD and a sum of epsilons |

  The sum, in which delta is shared evenly, is finite where the PLD cannot be
  computed.

  Args:
    primitives: how often each is applied, see `events.primitives`.
    delta: between 0 and 1.
    neighbours: `add_or_remove_one` example or `replace_one`, for which the
      sensitivity is twice as large.

  Returns:
    An upper bound in nats, at least 0.

  Raises:
    UserError: a value that is not as above.
  """
  validate.check_delta(delta)
  validate.check_neighbours(neighbours)
  # In one order, so that equal contents have equal answers, and one entry.
  items = tuple(sorted(primitives.items(), key=repr))
  return _composed_epsilon(items, delta, neighbours)


@functools.lru_cache(maxsize=256)
def _composed_epsilon(
  items: tuple[tuple[DpEvent, int], ...], delta: float, neighbours: str
) -> float:
  import dp_accounting

  from syndata_jax.privacy.discrete_event import DiscreteGaussianDpEvent

  sensitivity = 2 if neighbours == "replace_one" else 1
  gaussian, laplace, sampled, discrete = [], [], [], []
  lines: list[tuple[float, float]] = []
  for event, count in items:
    match event:
      case dp_accounting.GaussianDpEvent(noise_multiplier=noise):
        gaussian.append((noise, count))
      case dp_accounting.LaplaceDpEvent(noise_multiplier=noise):
        laplace.append((noise, count))
      case DiscreteGaussianDpEvent(
        standard_deviation=deviation, coordinates=coordinates
      ):
        # A replaced example moves twice as many bins, each by one.
        discrete.append((deviation, sensitivity * coordinates * count))
      case dp_accounting.PoissonSampledDpEvent(
        sampling_probability=rate, event=inner
      ):
        sampled.append((rate, inner.noise_multiplier, count))
      case dp_accounting.ZCDpEvent(rho=rho, xi=xi):
        lines.append((count * rho, count * xi))
      case _:  # not private
        return math.inf
  if len(items) == 1 and sampled:
    return accounting.epsilon(*sampled[0], delta, neighbours)
  mechanisms = (*gaussian, *laplace, *sampled, *discrete)
  noises = [noise for *_, noise, _ in mechanisms]
  if not all(noises):
    return math.inf
  mu = math.hypot(*(math.sqrt(count) / noise for noise, count in gaussian))
  if not laplace and not sampled and not discrete and not lines:
    return gaussian_epsilon(sensitivity * mu, delta)

  # Laplace mechanisms need no delta.
  has_lines = bool(gaussian or lines)
  share = delta / max(1, len(sampled) + has_lines + bool(discrete))
  bound = math.fsum(
    [
      _unsampled_epsilon(sensitivity, mu, lines, share),
      _concentrated(discrete, share),
      *(sensitivity * count / noise for noise, count in laplace),
      *(accounting.epsilon(*step, share, neighbours) for step in sampled),
    ]
  )
  if lines:  # of which there is no loss distribution
    return bound
  merged = {
    event: count
    for event, count in items
    if not isinstance(event, dp_accounting.GaussianDpEvent)
  }
  if gaussian:  # several are one
    merged[dp_accounting.GaussianDpEvent(1 / mu)] = 1
  return refined_epsilon(bound, merged, delta, neighbours)


def _concentrated(discrete: list[tuple[float, int]], delta: float) -> float:
  """Epsilon of discrete Gaussians by their zCDP, that of Gaussians.

  Canonne, Kamath and Steinke, arXiv 2004.00010, theorem 4; Bun and Steinke,
  arXiv 1605.02635, proposition 1.3.

  Args:
    discrete: sigma, and how many bins are moved by one.
    delta: above 0.
  """
  rho = math.fsum(count / (2 * sigma * sigma) for sigma, count in discrete)
  return rho + 2 * math.sqrt(rho * -math.log(delta))


def _unsampled_epsilon(
  sensitivity: int,
  mu: float,
  lines: list[tuple[float, float]],
  delta: float,
) -> float:
  """Of all Gaussian mechanisms (mu) and (rho, xi) of others.

  Args:
    sensitivity: of the relation, over that of adding or removing one.
    mu: of the Gaussian mechanisms together.
    lines: rho and xi of each.
    delta: of all.
  """
  if not lines:
    return gaussian_epsilon(sensitivity * mu, delta)
  rhos, xis = zip(*lines, strict=True)
  # Of groups of two by Bun and Steinke, proposition 27: 4 rho and 3 xi.
  square = sensitivity**2
  return concentrated_epsilon(
    square * (math.fsum(rhos) + mu**2 / 2), square * math.fsum(xis), delta
  )
