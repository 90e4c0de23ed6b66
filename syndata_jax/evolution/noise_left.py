"""The noise of votes that fits into what a ledger has left."""

import math

from syndata_jax import validate
from syndata_jax.errors import UserError
from syndata_jax.privacy import Ledger, Release

# Of a noise that was solved for, relative and on the safe side.
_PRECISION = 1e-4


def noise_multiplier_left(
  ledger: Ledger, releases: int, replace_one_sensitivity: float = math.sqrt(2)
) -> float:
  """The least noise of votes that fits into what a ledger has left.

  For budgets of which a sampled mechanism has taken a part: there is no closed
  form, so it is solved for by bisection, with all losses composed each time.

  Args:
    ledger: with a budget, and what was released so far.
    releases: how many histograms are to come, with equal noise.
    replace_one_sensitivity: of a histogram, see `Release`.

  Returns:
    Standard deviation over sensitivity, at most 0.01% above the least.

  Raises:
    UserError: a ledger without a budget, or one that is used up.
  """
  import dp_accounting

  validate.whole(1, releases=releases)
  if ledger.budget is None:
    raise UserError("budget=None: must be the epsilon of all releases")

  def fits(noise: float) -> bool:
    votes = Release(
      mechanism="votes",
      kind="votes",
      event=dp_accounting.GaussianDpEvent(noise),
      count=releases,
      replace_one_sensitivity=replace_one_sensitivity,
    )
    try:
      ledger.add(votes)
    except UserError:
      return False
    return True

  low = high = 1.0
  while not fits(high):
    low, high = high, 4 * high
    if high > 1e6:
      raise UserError(
        f"budget={ledger.budget:g}: epsilon {ledger.epsilon():.4g} is spent:"
        f" nothing is left for {releases} histograms"
      )
  while low == high or fits(low):
    low, high = low / 4, low
  while high > low * (1 + _PRECISION):
    middle = math.sqrt(low * high)
    low, high = (low, middle) if fits(middle) else (middle, high)
  return high
