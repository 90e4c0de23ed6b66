"""How far a noisy histogram of votes stands out of its noise.

All of it is post-processing: it reads what was released, and costs nothing.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from syndata_jax import validate


class Signal(NamedTuple):
  """What one noisy histogram says about the votes below its noise.

  Attributes:
    mass: noisy votes above the threshold, summed over the bins.
    null_mass: what `mass` is on average if nobody votes.
    spread: variance of the clean votes over the bins, estimated without bias:
      that of the noisy ones less that of the noise. Negative by chance. 0 is
      what votes on all candidates alike have, which choose nothing.
    spread_error: standard deviation of `spread` where all bins are alike.
    stddev: of the noise, in votes; over the sensitivity of 1 it is the noise
      multiplier.
    num_bins: S.
  """

  mass: float
  null_mass: float
  spread: float
  spread_error: float
  stddev: float
  num_bins: int

  @property
  def excess(self) -> float:
    """Share of the selection's weights that votes have put there, 0 to 1."""
    return max(0.0, 1 - self.null_mass / self.mass) if self.mass else 0.0

  @property
  def ratio(self) -> float:
    """Signal to noise in a bin, `spread` over the noise's variance; >= 0."""
    if self.spread <= 0:
      return 0.0
    return self.spread / self.stddev**2 if self.stddev else math.inf

  @property
  def stands_out(self) -> bool:
    """Whether votes differ by more than noise does in 977 of 1,000 cases."""
    return self.spread > 2 * self.spread_error

  @property
  def spent(self) -> float:
    """What the histogram cost: its share of mu^2; infinite without noise."""
    return 1 / self.stddev**2 if self.stddev else math.inf


def signal(noisy: ArrayLike, threshold: float, stddev: float) -> Signal:
  """Compares a noisy histogram with one in which nobody has voted.

  Args:
    noisy: f32[S], votes with the noise, S at least 2.
    threshold: H in votes: what the selection subtracts from each bin.
    stddev: of the noise in votes, 0 or more.

  Raises:
    UserError: fewer than two bins, or a negative number.
  """
  votes = np.asarray(noisy, np.float64).ravel()
  validate.whole(2, bins=votes.size)
  validate.not_negative(threshold=threshold, stddev=stddev)
  variance = stddev**2
  return Signal(
    mass=float(np.maximum(votes - threshold, 0).sum()),
    null_mass=votes.size * null_mass(threshold, stddev),
    spread=float(votes.var(ddof=1)) - variance,
    spread_error=variance * math.sqrt(2 / (votes.size - 1)),
    stddev=float(stddev),
    num_bins=votes.size,
  )


def null_mass(threshold: float, stddev: float) -> float:
  """Mean of max(z - threshold, 0) for z ~ N(0, stddev^2), a bin's null mass.

  Args:
    threshold: H, 0 or more.
    stddev: of the noise, 0 or more.
  """
  if stddev == 0:
    return 0.0
  ratio = threshold / stddev
  density = math.exp(-ratio * ratio / 2) / math.sqrt(2 * math.pi)
  return stddev * density - threshold * float(special.ndtr(-ratio))
