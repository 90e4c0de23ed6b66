"""How much of the budget each histogram of votes is given.

Gaussian releases add up in mu^2, the square of sensitivity over standard
deviation (`privacy.gaussian`), and in nothing else: shares of epsilon do not.
Here a share is one of mu^2, in the relation `add_or_remove_one`, in which a
histogram of votes has sensitivity 1 and a standard deviation in votes is the
noise multiplier.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from syndata_jax import validate
from syndata_jax.errors import UserError
from syndata_jax.evolution.signal import Signal
from syndata_jax.privacy import (
  Ledger,
  Release,
  gaussian_noise_multiplier,
)

if TYPE_CHECKING:
  from syndata_jax.evolution.options import EvolutionOptions

NAMES = ("uniform", "increasing", "decreasing", "adaptive")

# How far replacing an example moves a histogram: one vote less, one more.
REPLACE_ONE = math.sqrt(2)

# Of mu^2, given away so that rounding leaves the sum below the target.
_ROUND_OFF = 1e-12

# The adaptive rule: least of a histogram's share, how many of the last
# histograms are heard, and the signal to noise that nobody would see.
_LEAST = 0.5
_STABLE = 2
_UNSEEN = 0.1
# Of the bisection for what a ledger has left; each step may take a second.
_PRECISION = 1e-4
# What is left after rounding is no budget.
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True)
class Plan:
  """Noise of the histograms, one after another.

  It keeps no state: what was spent is read from what was released, so that a
  run that is resumed goes on as it would have.

  Attributes:
    total: mu^2 of all histograms together; infinite for no noise at all.
    weights: shares of the histograms, as many as there are iterations, sum 1.
    adaptive: whether signals decide, with `weights` as where they start.
  """

  total: float
  weights: tuple[float, ...]
  adaptive: bool = False

  def next(self, signals: Sequence[Signal]) -> float | None:
    """Noise multiplier of the next histogram; 0 for none.

    None where there is none to be: all iterations are done, all is spent, or,
    of the adaptive plan, nothing would be seen.

    An adaptive plan is a privacy filter: whatever the signals say, the sum of
    1 / noise^2 stays within `total`. Its guarantee is that of `total`, not the
    smaller one of what it happened to spend, which depends on the data; see
    `Ledger`.

    Args:
      signals: of all histograms so far.
    """
    step = len(signals)
    if step >= len(self.weights):
      return None
    if math.isinf(self.total):
      return 0.0
    if not self.adaptive:
      return _noise(self.total * self.weights[step])
    rest = self.total - math.fsum(signal.spent for signal in signals)
    if rest <= self.total * _ROUNDING:
      return None
    share = _share(signals, rest, self.weights[step:])
    return None if share is None else _noise(min(share, rest))

  def rest(self, signals: Sequence[Signal]) -> float:
    """mu^2 that histograms so far have left; what an early stop gives back."""
    if math.isinf(self.total):
      return math.inf
    spent = math.fsum(signal.spent for signal in signals)
    return max(0.0, self.total - spent)

  def reserved(self, signals: Sequence[Signal]) -> Release | None:
    """What a statement must count beside the histograms of an adaptive plan.

    How much was spent depends on the data, so the guarantee is that of the
    whole plan. The rest may still be spent on other releases; then they stand
    in place of this one. None where nothing is left or the plan is fixed.

    Args:
      signals: of all histograms.
    """
    from dp_accounting import GaussianDpEvent

    rest = self.rest(signals)
    if not self.adaptive or math.isinf(rest) or rest <= self.total * _ROUNDING:
      return None
    return Release(
      mechanism="nothing was released; the adaptive budget did not need it",
      kind="unspent rest",
      event=GaussianDpEvent(_noise(rest)),
      details=(f"mu^2 {rest:.4g} of {self.total:.4g}",),
      replace_one_sensitivity=REPLACE_ONE,
    )


def plan(options: EvolutionOptions, delta: float, extra: float = 0.0) -> Plan:
  """The plan of a run's histograms.

  Args:
    options: of the run.
    delta: of all releases.
    extra: mu^2 of the run's other releases (class counts, start check), as
      their `cost`; the histograms have the rest.

  Raises:
    UserError: an unknown budget, weights that do not fit, or nothing left.
  """
  shares = weights(
    options.budget_weights or options.budget, options.num_iterations
  )
  whole = total(options, delta)
  if math.isinf(whole):
    return Plan(whole, shares, options.budget == "adaptive")
  if extra >= whole:
    raise UserError(
      f"epsilon={options.epsilon:g}: class counts and start check would spend"
      " it all; their shares must sum to less than 1"
    )
  return Plan(whole - extra, shares, options.budget == "adaptive")


def weights(
  budget: str | Sequence[float], num_iterations: int
) -> tuple[float, ...]:
  """Shares of mu^2, one an iteration, sum 1.

  Late histograms gain most from little noise: votes are spread over ever more
  candidates that are alike, and what the last ones choose is released. Early
  ones are then noisy, and a threshold that is fixed in votes far too low for
  them: an uneven budget wants none, or `threshold_deviations`.

  Args:
    budget: one of `NAMES`; iteration t of 1 to T has a share proportional to t
      if `increasing`, to T + 1 - t if `decreasing`, and to t^2 before the
      adaptive rule changes it. Or the shares, in any unit, all above 0.
    num_iterations: T.

  Raises:
    UserError: another name, another number of shares, or one that is not above
      0.
  """
  validate.whole(1, num_iterations=num_iterations)
  if isinstance(budget, str):
    validate.one_of(NAMES, budget=budget)
    ramp = range(1, num_iterations + 1)
    parts: Sequence[float] = {
      "uniform": (1,) * num_iterations,
      "increasing": tuple(ramp),
      "decreasing": tuple(reversed(ramp)),
      "adaptive": tuple(t * t for t in ramp),
    }[budget]
  else:
    parts = tuple(budget)
    if len(parts) != num_iterations:
      raise UserError(
        f"budget={parts}: must have {num_iterations} weights, one an iteration"
      )
    for part in parts:
      validate.positive(budget=part)
  whole = math.fsum(parts)
  return tuple(part / whole for part in parts)


def total(options: EvolutionOptions, delta: float) -> float:
  """mu^2 of all releases of a run together; infinite for no guarantee.

  With `epsilon` the largest that keeps it in the relation of the options. With
  `noise_multiplier` that of as many histograms, to which the other releases
  come on top: the histograms have just this noise if they share evenly.

  Args:
    options: of the run.
    delta: of all releases.
  """
  if options.noise_multiplier:
    votes = options.num_iterations / options.noise_multiplier**2
    return votes / (1 - _other_shares(options))
  if math.isinf(options.epsilon):
    return math.inf
  noise = gaussian_noise_multiplier(options.epsilon, 1, delta)
  if options.neighbours == "replace_one":
    noise *= REPLACE_ONE
  return (1 - _ROUND_OFF) / noise**2


def noise_of_share(
  options: EvolutionOptions, delta: float, share: float
) -> float:
  """Noise multiplier of a release with a share of the run's mu^2; 0 for none.

  Args:
    options: of the run.
    delta: of all releases.
    share: between 0 and 1.

  Raises:
    UserError: a share out of range.
  """
  validate.within(0, 1, "()", share=share)
  whole = total(options, delta)
  return 0.0 if math.isinf(whole) else _noise(whole * share)


def cost(noise_multiplier: float) -> float:
  """mu^2 of a release; infinite without noise."""
  return 1 / noise_multiplier**2 if noise_multiplier else math.inf


def left(ledger: Ledger) -> float:
  """mu^2 of Gaussian releases of votes that a ledger's budget still allows.

  Whatever it holds, DP-SGD too: found by bisection with its own accounting.

  Returns:
    At least 0; infinite where the ledger has no budget.
  """
  from dp_accounting import GaussianDpEvent

  if ledger.budget is None:
    return math.inf

  def fits(square: float) -> bool:
    release = Release(
      "Gaussian",
      "votes",
      GaussianDpEvent(1 / math.sqrt(square)),
      replace_one_sensitivity=REPLACE_ONE,
    )
    try:
      ledger.add(release)
    except UserError:
      return False
    return True

  high = cost(gaussian_noise_multiplier(ledger.budget, 1, ledger.delta))
  if ledger.neighbours == "replace_one":
    high /= 2
  if fits(high):
    return high
  low = 0.0
  while high - low > _PRECISION * high:
    middle = (low + high) / 2
    low, high = (middle, high) if fits(middle) else (low, middle)
    if high < 1e-12:
      break
  return low


def _share(
  signals: Sequence[Signal], rest: float, weights: Sequence[float]
) -> float | None:
  """mu^2 that the adaptive rule gives to the next histogram.

  Its weight's share of the rest where votes would stand out of the noise, down
  to half of that where they would not, as the weaker of the last two histograms
  says: a signal counts if it is stable. What one histogram is not given, the
  later ones share. None where even the rest as a whole, spent on one histogram,
  would show nothing.

  Measured (`tests/evolution/test_budget_gain.py`), what it gains over a uniform
  budget is the gain of its weights; what signals add to them is within chance.

  Args:
    signals: of all histograms so far.
    rest: mu^2 that is left, above 0.
    weights: of the histograms to come, one at least.
  """
  share = rest * weights[0] / math.fsum(weights)
  recent = signals[-_STABLE:]
  if len(recent) < _STABLE:
    return share
  most = max(signal.spread + 2 * signal.spread_error for signal in recent)
  if most * rest < _UNSEEN:
    return None
  if len(weights) == 1:
    return rest
  # Signal to noise, if the histogram were given its share.
  ratio = share * max(0.0, min(signal.spread for signal in recent))
  return share * min(max(2 - 2 / (1 + ratio), _LEAST), 1.0)


def _noise(square: float) -> float:
  """The noise multiplier whose release has at most this mu^2."""
  noise = 1 / math.sqrt(square)
  while 1 / noise**2 > square:
    noise = math.nextafter(noise, math.inf)
  return noise


def _other_shares(options: EvolutionOptions) -> float:
  """What the releases beside the votes are given of mu^2."""
  counts = options.counts_share if options.class_shares == "private" else 0.0
  return counts + options.start_check_share
