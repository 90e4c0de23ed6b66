"""Very many clients in one process, to try out settings.

What is summed and with which noise is as with real clients; there is no secure
sum, and whoever runs it sees all records.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import cast

import numpy as np

from syndata_jax.errors import UserError
from syndata_jax.evolution.federated import client
from syndata_jax.evolution.federated.mechanism import DistributedSkellam
from syndata_jax.evolution.federated.policy import Ballot
from syndata_jax.evolution.federated.voters import Tally
from syndata_jax.images.neighbours import Metric, nearest

_DRAWS = 1000


@dataclasses.dataclass(frozen=True)
class SimulatedVoters:
  """Clients as a column of numbers; a hundred thousand are no trouble.

  Memory and time follow the number of records, not clients times candidates.

  Attributes:
    embeddings: of all records, f32[P,D].
    labels: i32[P].
    owners: the client of each record, i32[P], from 0.
    num_clients: U; some may have no record.
    generator: of rounding and noise.
  """

  embeddings: np.ndarray
  labels: np.ndarray
  owners: np.ndarray
  num_clients: int
  generator: np.random.Generator

  def tally(
    self,
    mechanism: DistributedSkellam,
    ballot: Ballot,
    before_release: Callable[[], None],
  ) -> Tally:
    """As `Voters.tally`; all clients take part.

    Raises:
      UserError: more clients than the mechanism is for.
    """
    count = self.num_clients
    if count > mechanism.max_clients:
      raise UserError(
        f"num_clients={count}: must be at most {mechanism.max_clients}"
      )
    if count < mechanism.survivors:
      return Tally(
        None, 0, f"{count} clients are there, {mechanism.survivors} are needed"
      )
    owners, bins, votes = self._votes(ballot)
    lengths = np.sqrt(np.bincount(owners, votes**2, count))
    factors = np.minimum(1, mechanism.clip_norm / np.maximum(lengths, 1e-300))
    steps = votes * factors[owners] * mechanism.scale
    whole = self._rounded(steps, owners, mechanism.squared_bound)
    total = np.zeros(mechanism.num_candidates, np.int64)
    np.add.at(total, bins, whole)
    before_release()
    # A sum of Skellam variables is one of the sum of their variances.
    total += client.noise_share(
      count * mechanism.share_variance, len(total), self.generator
    )
    return Tally(client.modulo(total, mechanism.bits), count)

  def _votes(self, ballot: Ballot) -> tuple[np.ndarray, ...]:
    """Clients i64[E], candidates i64[E] and the votes of one for the other."""
    k = ballot.nearest
    size = len(ballot.candidates)
    starts = np.cumsum(ballot.sizes) - np.asarray(ballot.sizes)
    pairs = []
    for label, (start, number) in enumerate(
      zip(starts, ballot.sizes, strict=True)
    ):
      chosen = self.labels == label
      if not number or not chosen.any():
        continue
      _, rows = nearest(
        self.embeddings[chosen],
        ballot.candidates[start : start + number],
        k,
        cast(Metric, ballot.metric),
      )
      owner = self.owners[chosen].astype(np.int64)
      pairs.append((owner[:, None] * size + start + rows).ravel())
    joined = np.concatenate(pairs) if pairs else np.zeros(0, np.int64)
    unique, counts = np.unique(joined, return_counts=True)
    return unique // size, unique % size, counts / math.sqrt(k)

  def _rounded(
    self, steps: np.ndarray, owners: np.ndarray, squared_bound: int
  ) -> np.ndarray:
    """`client.rounded` of all clients, i64[E]."""
    floor = np.floor(steps)
    whole = floor.astype(np.int64)
    redrawn = np.ones(self.num_clients, bool)
    for _ in range(_DRAWS):
      entries = redrawn[owners]
      up = self.generator.random(int(entries.sum())) < (steps - floor)[entries]
      whole[entries] = floor[entries].astype(np.int64) + up
      squared = np.bincount(owners, whole.astype(float) ** 2, self.num_clients)
      redrawn = squared > squared_bound
      if not redrawn.any():
        return whole
    return np.where(redrawn[owners], floor.astype(np.int64), whole)
