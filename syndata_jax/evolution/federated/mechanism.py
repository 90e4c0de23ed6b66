"""Votes of clients with distributed noise: the mechanism and its accounting.

Each client clips its whole vector of votes to L2 norm C, rounds it to whole
steps of 1/s and adds its share of Skellam noise. A sum of Skellam variables is
one, exactly, whatever their number: the sum over the clients is the Skellam
mechanism (Agarwal, Kairouz and Liu, "The Skellam Mechanism for Differentially
Private Federated Learning", arXiv 2110.04995). A sum of discrete Gaussians is
no discrete Gaussian and needs a correction (Kairouz, Liu and Steinke, "The
Distributed Discrete Gaussian Mechanism for Federated Learning with Secure
Aggregation", arXiv 2102.06387), which is why it is not used here; the rounding
is theirs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from syndata_jax import validate
from syndata_jax.errors import UserError
from syndata_jax.privacy.ledger import Ledger
from syndata_jax.privacy.release import Release

if TYPE_CHECKING:
  from dp_accounting import DpEvent

# Of a draw of the rounding: at most this probability to be too long, for which
# it is drawn again (Kairouz et al. take the same).
_REDRAWN = math.exp(-0.5)
# Standard deviations of the noise for which the modulus leaves room.
_TAIL = 8.0
# Bits above the range of honest sums: a vector of anything is then outside in
# at least 15 of 16 entries.
_SPARE_BITS = 4
_MOST_BITS = 56


@dataclasses.dataclass(frozen=True)
class DistributedSkellam:
  """The sum of the clients' clipped votes under Skellam noise.

  The unit of privacy is a client with all its records. The sum of a round is
  released only if at least `survivors` clients are in it. Of these at most
  `max_untrusted` may have sent anything at all, so that the noise of
  `min_honest` is always there: that is what is accounted. Clients beyond these
  only add noise.

  Lengths and variances "in steps" are those of the integers that are summed, s
  steps to a vote.

  Attributes:
    clip_norm: C, votes; above 0. The L2 norm to which a client's votes over
      all classes together are clipped, never scaled up.
    scale: s, steps a vote, a whole number of at least 1.
    noise_multiplier: standard deviation of the sum's noise over its L2
      sensitivity, at least 0; 0 leaves no guarantee.
    num_candidates: M, the length of the vector.
    max_clients: U, the most that take part in a round.
    min_honest: clients whose noise together is the noise of the sum.
    max_untrusted: clients that may lie or leave their noise out without any
      cost to the guarantee of the others.

  Raises:
    UserError: a field that is not as above, or more than 56 bits an entry.
  """

  clip_norm: float
  scale: int
  noise_multiplier: float
  num_candidates: int
  max_clients: int
  min_honest: int
  max_untrusted: int = 0

  def __post_init__(self) -> None:
    validate.positive(clip_norm=self.clip_norm)
    validate.not_negative(noise_multiplier=self.noise_multiplier)
    validate.whole(
      1,
      scale=self.scale,
      num_candidates=self.num_candidates,
      max_clients=self.max_clients,
      min_honest=self.min_honest,
    )
    validate.whole(0, max_untrusted=self.max_untrusted)
    if not self.max_clients / 2 < self.survivors <= self.max_clients:
      raise UserError(
        f"min_honest + max_untrusted = {self.survivors}: must be more than "
        f"half of max_clients={self.max_clients} and at most all of them"
      )
    if self.bits > _MOST_BITS:
      raise UserError(
        f"scale={self.scale}: a sum needs {self.bits} bits an entry, must be "
        f"at most {_MOST_BITS}"
      )

  @property
  def survivors(self) -> int:
    """Clients without which a round is void."""
    return self.min_honest + self.max_untrusted

  @property
  def squared_bound(self) -> int:
    """The largest squared L2 norm of a client's rounded votes, in steps^2.

    The smaller of the worst case, (C s + sqrt(M))^2, and Kairouz et al.'s
    bound, above which a rounding is drawn again.
    """
    norm, spread = self.clip_norm * self.scale, math.sqrt(self.num_candidates)
    likely = (
      norm**2
      + spread**2 / 4
      + math.sqrt(-2 * math.log(_REDRAWN)) * (norm + spread / 2)
    )
    return math.floor(min((norm + spread) ** 2, likely))

  @property
  def sensitivity(self) -> float:
    """L2, in steps, when one client is added or removed.

    Votes are not negative, hence replacing a client by another moves the sum
    by at most the square root of 2 times this.
    """
    return math.sqrt(self.squared_bound)

  @property
  def variance(self) -> float:
    """Of the noise of `min_honest` clients together, in steps^2."""
    return (self.noise_multiplier * self.sensitivity) ** 2

  @property
  def share_variance(self) -> float:
    """Of one client's noise, in steps^2."""
    return self.variance / self.min_honest

  def stddev(self, num_clients: int | None = None) -> float:
    """Standard deviation of the noise of a sum, in votes.

    Args:
      num_clients: in it that added their noise; `min_honest` by default.
    """
    count = self.min_honest if num_clients is None else num_clients
    return math.sqrt(self.share_variance * count) / self.scale

  @property
  def largest(self) -> int:
    """What no sum of honest clients exceeds, noise apart, in steps."""
    # No entry of a vector is larger than its norm.
    return self.max_clients * math.ceil(self.sensitivity)

  @property
  def tail(self) -> int:
    """How far noise may carry an honest sum out of its range, in steps."""
    return math.ceil(_TAIL * math.sqrt(self.share_variance * self.max_clients))

  @property
  def bits(self) -> int:
    """b, of an entry on its way, whole bytes; sums are modulo 2^b."""
    needed = math.log2(self.largest + 2 * self.tail + 1) + _SPARE_BITS
    return 8 * math.ceil(needed / 8)

  @property
  def event(self) -> DpEvent:
    """One sum, client added or removed, as dp-accounting composes it.

    Agarwal et al., theorem 3.5: of integers with sensitivities d1 (L1) and d2
    (L2) under Skellam noise of variance v, the Renyi divergence of order a is
    at most a d2^2 / (2 v) + min(((2 a - 1) d2^2 + 6 d1) / (4 v^2),
    3 d1 / (2 v)). Both are lines in a: zero-concentrated with an offset.
    """
    import dp_accounting

    if not self.variance:
      return dp_accounting.NonPrivateDpEvent()
    variance, square = self.variance, float(self.squared_bound)
    # Of integers: each is at most its own square.
    length = min(math.sqrt(self.num_candidates * square), square)
    gaussian = square / (2 * variance)
    close = (
      gaussian * (1 + 1 / variance),
      max(0.0, (6 * length - square) / (4 * variance**2)),
    )
    coarse = gaussian, 3 * length / (2 * variance)
    # At the order that matters for epsilon about 1; either one is a bound.
    rho, xi = min(close, coarse, key=lambda line: line[0] + line[1])
    return dp_accounting.ZCDpEvent(rho, xi)

  def release(self) -> Release:
    """One noisy sum, for the ledger; a client is the example of it."""
    return Release(
      mechanism="distributed Skellam noise under secure aggregation",
      kind="votes",
      event=self.event,
      details=(
        "unit: one client with all its records",
        f"clip norm {self.clip_norm:g} votes over all classes, rounded to "
        f"steps of 1/{self.scale}",
        f"noise: {self.noise_multiplier:.4g} x the L2 sensitivity of "
        f"{self.sensitivity / self.scale:.4g} votes, from at least "
        f"{self.min_honest} honest clients",
      ),
      replace_one_sensitivity=math.sqrt(2),
    )

  def as_dict(self) -> dict[str, Any]:
    """The fields, plain numbers, for a message to the clients."""
    return dataclasses.asdict(self)


def fine_scale(clip_norm: float, num_candidates: int) -> int:
  """A scale at which rounding adds about one percent to the sensitivity.

  Args:
    clip_norm: C, above 0.
    num_candidates: M.
  """
  validate.positive(clip_norm=clip_norm)
  validate.whole(1, num_candidates=num_candidates)
  # The terms of the bound over (C s)^2: M / 4 and C s, half a percent each.
  steps = max(math.sqrt(25 * num_candidates), 100.0)
  return math.ceil(steps / clip_norm)


def least_noise(
  epsilon: float,
  ledger: Ledger,
  mechanisms: Sequence[DistributedSkellam],
) -> float:
  """The least noise multiplier of one sum that has at most this epsilon.

  Several sums whose 1 / noise_multiplier^2 add up to that of this one are
  together at least as private: what a sum costs beyond a Gaussian one grows
  faster than that.

  Args:
    epsilon: in nats, above 0.
    ledger: for its delta and its relation.
    mechanisms: of which the sum is any one; their noise does not matter.
  """
  import dp_accounting

  validate.positive(epsilon=epsilon)

  def reached(noise: float) -> float:
    noisy = [
      dataclasses.replace(mechanism, noise_multiplier=noise)
      for mechanism in mechanisms
    ]
    events = [mechanism.event for mechanism in noisy]
    # One line above all of theirs.
    event = dp_accounting.ZCDpEvent(
      max(event.rho for event in events), max(event.xi for event in events)
    )
    release = dataclasses.replace(noisy[0].release(), event=event)
    return dataclasses.replace(
      ledger, budget=None, releases=(release,)
    ).epsilon()

  low = high = 1.0
  while reached(high) > epsilon:
    high *= 2
  while reached(low) <= epsilon:
    low /= 2
  while high - low > 1e-9 * high:
    middle = (low + high) / 2
    low, high = (low, middle) if reached(middle) <= epsilon else (middle, high)
  return high
