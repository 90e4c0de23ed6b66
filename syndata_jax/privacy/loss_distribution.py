"""Epsilon of a composition, by privacy loss distributions (PLD).

The losses of each mechanism are discretised pessimistically ("connect the
dots") and convolved by `dp_accounting`: the result is an upper bound at every
width of the grid. The width follows epsilon, so that every regime, from
epsilon 1 to 1e6, takes about a second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from dp_accounting import DpEvent

# Width of the grid of privacy losses: the least (dp_accounting's default), and
# the least and the most as shares of epsilon, which bound time and rounding.
_WIDTH = 1e-4
_RELATIVE_WIDTHS = 1e-5, 2e-4
# dp_accounting overflows at widths above 700.
_MAX_WIDTH = 500.0
# Below, the round-off of its Fourier transforms decides the answer.
_MIN_DELTA = 1e-12
# Rounding adds about steps x width^2 to epsilon: aim at this share of it.
_ROUNDING = 3e-4


def refined_epsilon(
  bound: float,
  primitives: Mapping[DpEvent, int],
  delta: float,
  neighbours: str,
) -> float:
  """The smaller of a bound on epsilon and the PLD's.

  Args:
    bound: an upper bound in nats, from which the width of the grid follows.
    primitives: how often each mechanism is applied, see `events.primitives`;
      none without noise.
    delta: above 0; below 1e-12 the bound itself is the answer.
    neighbours: as in `accounting.epsilon`.

  Returns:
    An upper bound on epsilon in nats.
  """
  if delta < _MIN_DELTA:
    return bound
  steps = sum(primitives.values())
  # The first bound may be far too large, and with it the first width.
  previous = math.inf
  while bound < previous / 2 and _width(bound, steps) < _MAX_WIDTH:
    previous = bound
    losses = _composed(primitives, neighbours, _width(bound, steps))
    bound = min(bound, losses.get_epsilon_for_delta(delta))
  return bound


def _width(bound: float, steps: int) -> float:
  fine = math.sqrt(_ROUNDING * bound / steps)
  least, most = (share * bound for share in _RELATIVE_WIDTHS)
  return max(_WIDTH, least, min(fine, most))


def _composed(
  primitives: Mapping[DpEvent, int], neighbours: str, width: float
) -> Any:
  from dp_accounting.pld import privacy_loss_distribution

  losses = privacy_loss_distribution.identity(width)
  for event, count in primitives.items():
    single = _single(event, neighbours, width)
    losses = losses.compose(single.self_compose(count))
  return losses


def _single(event: DpEvent, neighbours: str, width: float) -> Any:
  import dp_accounting
  from dp_accounting.pld import privacy_loss_distribution

  from syndata_jax.privacy.discrete_event import DiscreteGaussianDpEvent

  if isinstance(event, DiscreteGaussianDpEvent):
    bins = privacy_loss_distribution.from_discrete_gaussian_mechanism(
      event.standard_deviation,
      value_discretization_interval=width,
      use_connect_dots=True,
    )
    # A replaced example moves twice as many bins.
    doubled = 2 if neighbours == "replace_one" else 1
    return bins.self_compose(doubled * event.coordinates)
  if isinstance(event, dp_accounting.LaplaceDpEvent):
    # Twice the sensitivity is half the noise.
    halves = 2 if neighbours == "replace_one" else 1
    return privacy_loss_distribution.from_laplace_mechanism(
      event.noise_multiplier / halves, value_discretization_interval=width
    )
  sample_rate = 1.0
  if isinstance(event, dp_accounting.PoissonSampledDpEvent):
    sample_rate, event = event.sampling_probability, event.event
  return privacy_loss_distribution.from_gaussian_mechanism(
    event.noise_multiplier,
    value_discretization_interval=width,
    sampling_prob=sample_rate,
    neighboring_relation=dp_accounting.NeighboringRelation[neighbours.upper()],
  )
