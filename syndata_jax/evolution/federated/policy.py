"""What a client lets a server ask.

A server chooses the candidates, and could choose them to find out about one
client: candidates placed as probes around a suspected record, few of them so
that every vote tells much, the same ones again and again to average the noise
away (of such probes arXiv 2609.13499 warns). Whatever it broadcasts, the
guarantee of the noisy sum is the same: it holds for candidates that an enemy
has chosen. So what must be bounded is how often, how noisily and among how
many a client answers, by the client itself.

None of these checks looks at a private record: a refusal is seen by the
server, and must tell nothing.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from syndata_jax import validate
from syndata_jax.errors import UserError
from syndata_jax.evolution.federated.mechanism import DistributedSkellam


class Ballot(NamedTuple):
  """What is voted on; all of it is public.

  Attributes:
    candidates: their embeddings, f32[M,D], sorted by class.
    sizes: candidates of each class, sum M.
    nearest: k, candidates that a record votes for.
    metric: `l2` or `cosine`.
  """

  candidates: np.ndarray
  sizes: tuple[int, ...]
  nearest: int = 1
  metric: str = "l2"


@dataclasses.dataclass(frozen=True)
class Policy:
  """The limits of one client, set by its owner before the run.

  Beside them stands the client's own ledger, with a budget: whatever a server
  asks, a client adds each of its votes to its ledger before the vote leaves,
  and does not vote when the budget would be exceeded.

  Attributes:
    num_classes: K, declared.
    dimension: D, of the embeddings.
    max_candidates: M at most, the number of questions in a round.
    min_class_size: candidates of a class at least, where it has any; among few
      a record's vote says little but how many records there are.
    max_norm: L2 norm of a candidate's embedding at most: no probe lies where
      no record can be. 0 allows any finite one.
    min_honest: clients at least with which the noise of a round is shared.

  Raises:
    UserError: a field that is not as above.
  """

  num_classes: int
  dimension: int
  max_candidates: int = 100_000
  min_class_size: int = 2
  max_norm: float = 0.0
  min_honest: int = 2

  def __post_init__(self) -> None:
    validate.whole(
      1,
      num_classes=self.num_classes,
      dimension=self.dimension,
      max_candidates=self.max_candidates,
      min_class_size=self.min_class_size,
      min_honest=self.min_honest,
    )
    validate.not_negative(max_norm=self.max_norm)

  def check_mechanism(self, mechanism: DistributedSkellam) -> None:
    """Raises UserError where a round is not one of those allowed."""
    if mechanism.num_candidates > self.max_candidates:
      raise UserError(
        f"num_candidates={mechanism.num_candidates}: must be at most"
        f" {self.max_candidates}"
      )
    if mechanism.min_honest < self.min_honest:
      raise UserError(
        f"min_honest={mechanism.min_honest}: must be at least {self.min_honest}"
      )

  def check_ballot(self, ballot: Ballot, num_candidates: int) -> None:
    """Raises UserError where candidates are not among those allowed.

    Args:
      ballot: as it was received.
      num_candidates: M, as it was announced.
    """
    candidates, sizes = ballot.candidates, ballot.sizes
    shape = (num_candidates, self.dimension)
    if candidates.shape != shape or not np.isfinite(candidates).all():
      raise UserError(
        f"candidates={list(candidates.shape)}: must be {list(shape)}, finite"
      )
    if len(sizes) != self.num_classes or sum(sizes) != num_candidates:
      raise UserError(
        f"sizes={list(sizes)}: must be {self.num_classes} numbers of sum"
        f" {num_candidates}"
      )
    if any(size and size < self.min_class_size for size in sizes):
      raise UserError(
        f"sizes={list(sizes)}: must be 0 or at least {self.min_class_size}"
      )
    norms = np.linalg.norm(candidates, axis=1)
    if self.max_norm and norms.max(initial=0) > self.max_norm:
      raise UserError(
        f"candidates: of L2 norm {norms.max():g}, must be at most"
        f" {self.max_norm:g}"
      )
