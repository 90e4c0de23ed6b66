"""Epsilon of the Poisson-subsampled Gaussian mechanism, and its inverse.

The privacy loss distribution (PLD) of one step is composed numerically. The
result is an upper bound that lies within some tenths of a percent of the limit
of ever finer grids, in any regime: published DP-SGD settings reach from epsilon
1 to 1e6 and more.

The "high utility" settings of the literature (noise multipliers of 0.2 and
less) have epsilons that such grids do not reach; there the closed form of
`_revealed` holds. Published values for them, by Renyi orders above 1.1, are
looser.
"""

import functools
import math

import numpy as np
from scipy import optimize, stats

from syndata_jax.privacy import validate
from syndata_jax.privacy.gaussian import (
  gaussian_delta,
  gaussian_noise_multiplier,
)
from syndata_jax.privacy.loss_distribution import refined_epsilon

# Of the noise that `noise_multiplier` finds.
_TOLERANCE = 1e-4


@functools.lru_cache(maxsize=256)
def epsilon(
  sample_rate: float,
  noise_multiplier: float,
  steps: int,
  delta: float,
  neighbours: str = "add_or_remove_one",
) -> float:
  """Epsilon of DP-SGD with Poisson sampling and Gaussian noise.

  Each step includes every example independently with probability
  `sample_rate`, clips each one's contribution to norm C, sums, and adds
  Gaussian noise of standard deviation `noise_multiplier` x C. All steps are
  released.

  The result is an upper bound, the smaller of two: the PLD, and the mechanism
  that also tells in which steps the example took part (see `_revealed`), which
  needs no numerical composition and is finite for every noise above 0. The
  second alone is used where the first cannot be computed: for delta below
  1e-12, and for epsilon above some 1e7, where it is tight for
  `add_or_remove_one` and up to four times too large for `replace_one`.

  | case | epsilon |
  |---|---|
  | no noise | infinity |
  | the example takes part at all with a chance of at most delta | 0 |
  | sample_rate 1 | exact, `gaussian_delta` |

  Args:
    sample_rate: probability of one example in one step, in (0, 1].
    noise_multiplier: standard deviation of the noise over C, at least 0.
    steps: noisy sums released, at least 1.
    delta: between 0 and 1.
    neighbours: `add_or_remove_one` example (the sum then moves by C), or
      `replace_one` by another (by 2 C): what a comparison between two data
      sets of one size can find.

  Returns:
    Epsilon in nats, at least 0.

  Raises:
    UserError: a value that is not as above.
  """
  validate.check_sampling(sample_rate, steps)
  validate.check_noise(noise_multiplier)
  validate.check_delta(delta)
  validate.check_neighbours(neighbours)
  # The chance to take part in any step, without cancellation at small rates.
  if sample_rate < 1:
    chance = -math.expm1(steps * math.log1p(-sample_rate))
    if chance <= delta:
      return 0.0
  if noise_multiplier == 0:
    return math.inf
  import dp_accounting

  step = dp_accounting.PoissonSampledDpEvent(
    sample_rate, dp_accounting.GaussianDpEvent(noise_multiplier)
  )
  return refined_epsilon(
    _revealed(sample_rate, noise_multiplier, steps, delta, neighbours),
    {step: steps},
    delta,
    neighbours,
  )


@functools.lru_cache(maxsize=256)
def noise_multiplier(
  epsilon: float, sample_rate: float, steps: int, delta: float
) -> float:
  """The smallest noise whose epsilon does not exceed the target.

  Args:
    epsilon: the target in nats, above 0, when one example is added or removed.
    sample_rate: in (0, 1].
    steps: at least 1.
    delta: between 0 and 1.

  Returns:
    The noise multiplier, at most some 1e-4 of itself too large, and never too
    small: `epsilon` of the result does not exceed the target.

  Raises:
    UserError: a value that is not as above.
  """
  validate.check_epsilon(epsilon)
  reached = functools.partial(_epsilon, sample_rate, steps=steps, delta=delta)
  if reached(noise_multiplier=0) <= epsilon:
    return 0.0

  def excess(log_noise: float) -> float:
    # In logarithms the curve is nearly straight. The floor stands in for 0.
    value = reached(noise_multiplier=math.exp(log_noise))
    return math.log(max(value, 1e-9 * epsilon) / epsilon)

  # Sampling helps at most in proportion to its rate, as far as is known; where
  # it helps more, the loop goes on.
  unsampled = gaussian_noise_multiplier(epsilon, steps, delta)
  high = math.log(unsampled) + _TOLERANCE
  low = high + math.log(sample_rate) - 1
  while excess(low) <= 0:
    low -= 1
  noise = math.exp(optimize.brentq(excess, low, high, xtol=_TOLERANCE / 2))
  while reached(noise_multiplier=noise) > epsilon:
    noise *= 1 + _TOLERANCE / 2
  return noise


# Inside `noise_multiplier` the name is the target's.
_epsilon = epsilon


def _revealed(
  sample_rate: float, noise: float, steps: int, delta: float, neighbours: str
) -> float:
  """Epsilon if the attacker also sees in which steps the example took part.

  Such an attacker can only do better. What is left is a Gaussian mechanism
  with mu = sqrt(k) / noise, k the binomial number of those steps, and the
  steps are drawn without regard to the data: delta is the average over k.
  """
  count = np.arange(steps + 1)
  chance = stats.binom.pmf(count, steps, sample_rate)
  sensitivity = 2 if neighbours == "replace_one" else 1
  mu = sensitivity * np.sqrt(count) / noise

  def enough(value: float) -> bool:
    return bool(chance @ gaussian_delta(value, mu) <= delta)

  low, high = 0.0, 1.0
  while not enough(high):
    low, high = high, 2 * high
  while high - low > 1e-6 * high:
    middle = (low + high) / 2
    low, high = (low, middle) if enough(middle) else (middle, high)
  return high
