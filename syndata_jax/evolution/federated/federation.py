"""Settings of the clients' vote."""

from __future__ import annotations

import dataclasses
from typing import Any

from syndata_jax import validate
from syndata_jax.evolution.federated.mechanism import (
  DistributedSkellam,
  fine_scale,
)


@dataclasses.dataclass(frozen=True)
class Federation:
  """Settings of the clients' vote; see `DistributedSkellam` for their meaning.

  Attributes:
    max_clients: U.
    min_honest: clients whose noise is the noise of a sum.
    max_untrusted: clients that may lie.
    clip_norm: C, votes of a client over all classes.
    scale: s, steps a vote; 0 for one at which rounding costs a percent.
    attempts: rounds that may be void, one after another, for one histogram.
  """

  max_clients: int
  min_honest: int
  max_untrusted: int = 0
  clip_norm: float = 1.0
  scale: int = 0
  attempts: int = 3

  def __post_init__(self) -> None:
    validate.whole(1, attempts=self.attempts)
    validate.whole(0, scale=self.scale)
    self.mechanism(1, 0.0)

  def mechanism(
    self, num_candidates: int, noise_multiplier: float
  ) -> DistributedSkellam:
    """Of a round.

    Args:
      num_candidates: M.
      noise_multiplier: of its sum.
    """
    return DistributedSkellam(
      clip_norm=float(self.clip_norm),
      scale=self.scale or fine_scale(self.clip_norm, num_candidates),
      noise_multiplier=noise_multiplier,
      num_candidates=num_candidates,
      max_clients=self.max_clients,
      min_honest=self.min_honest,
      max_untrusted=self.max_untrusted,
    )

  def answers(self) -> dict[str, Any]:
    """What a privacy statement says of clients, for `Ledger.statement`."""
    return {
      "unit": "one client with all its records",
      "trust_model": (
        "distributed: each client adds its share of the noise, the server sees"
        " sums under secure aggregation and follows the protocol"
      ),
      "assumptions": (
        f"in every sum at least {self.min_honest} clients have added their"
        " noise and do not tell it",
        "the server passes on the clients' own public keys, and no clients are"
        " made up",
        "each client's source of noise is unpredictable",
      ),
    }
