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

  sensitivity = 2 if neighbours == "replace_one" else 1
  gaussian, laplace, sampled, concentrated = [], [], [], []
  for event, count in items:
    match event:
      case dp_accounting.GaussianDpEvent(noise_multiplier=noise):
        gaussian.append((noise, count))
      case dp_accounting.LaplaceDpEvent(noise_multiplier=noise):
        laplace.append((noise, count))
      case dp_accounting.PoissonSampledDpEvent(
        sampling_probability=rate, event=inner
      ):
        sampled.append((rate, inner.noise_multiplier, count))
      case dp_accounting.ZCDpEvent(rho=rho, xi=xi):
        concentrated.append((count * rho, count * xi))
      case _:  # not private
        return math.inf
  if len(items) == 1 and sampled:
    return accounting.epsilon(*sampled[0], delta, neighbours)
  noises = [noise for *_, noise, _ in (*gaussian, *laplace, *sampled)]
  if not all(noises):
    return math.inf
  mu = math.hypot(*(math.sqrt(count) / noise for noise, count in gaussian))
  if not laplace and not sampled and not concentrated:
    return gaussian_epsilon(sensitivity * mu, delta)

  # Laplace mechanisms need no delta.
  lines = bool(gaussian or concentrated)
  share = delta / max(1, len(sampled) + lines)
  bound = math.fsum(
    [
      _unsampled_epsilon(sensitivity, mu, concentrated, share),
      *(sensitivity * count / noise for noise, count in laplace),
      *(accounting.epsilon(*step, share, neighbours) for step in sampled),
    ]
  )
  if concentrated:  # of which there is no loss distribution
    return bound
  merged = {
    event: count
    for event, count in items
    if not isinstance(event, dp_accounting.GaussianDpEvent)
  }
  if gaussian:  # several are one
    merged[dp_accounting.GaussianDpEvent(1 / mu)] = 1
  return refined_epsilon(bound, merged, delta, neighbours)


def _unsampled_epsilon(
  sensitivity: int,
  mu: float,
  concentrated: list[tuple[float, float]],
  delta: float,
) -> float:
  """Of all Gaussian mechanisms (mu) and (rho, xi) of concentrated ones.

  Args:
    sensitivity: of the relation, over that of adding or removing one.
    mu: of the Gaussian mechanisms together.
    concentrated: rho and xi of each.
    delta: of all.
  """
  if not concentrated:
    return gaussian_epsilon(sensitivity * mu, delta)
  rhos, xis = zip(*concentrated, strict=True)
  # Of groups of two by Bun and Steinke, proposition 27: 4 rho and 3 xi.
  square = sensitivity**2
  return concentrated_epsilon(
    square * (math.fsum(rhos) + mu**2 / 2), square * math.fsum(xis), delta
  )
