"""Who votes: the clients, as the server's loop sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from syndata_jax.errors import UserError
from syndata_jax.evolution.federated.mechanism import DistributedSkellam
from syndata_jax.evolution.federated.participant import (
  Answer,
  Message,
  Participant,
)
from syndata_jax.evolution.federated.policy import Ballot
from syndata_jax.privacy.ledger import Ledger


class Tally(NamedTuple):
  """What a round leaves the server.

  Attributes:
    total: the noisy sum modulo 2^b, u64[M]; None where the round is void, and
      then nothing was released.
    num_clients: in the sum.
    void: why a round is void, in one line; "" if it is not.
  """

  total: np.ndarray | None
  num_clients: int
  void: str = ""


class Voters(Protocol):
  """All clients together: they can be asked for one noisy sum."""

  def tally(
    self,
    mechanism: DistributedSkellam,
    ballot: Ballot,
    before_release: Callable[[], None],
  ) -> Tally:
    """One round.

    Args:
      mechanism: of the round.
      ballot: what is voted on.
      before_release: called once, before the sum can be known to anyone; not
        called in a round that is void before.
    """
    ...


class Transport(Protocol):
  """How questions reach clients, and answers the server."""

  def available(self) -> Sequence[int]:
    """The numbers of the clients that can be asked now."""
    ...

  def ask(self, questions: Mapping[int, Message]) -> Mapping[int, Message]:
    """Answers, by client; of those who refuse or stay away there is none."""
    ...


class LocalTransport:
  """Clients in this process: for tests, and to try out settings.

  Attributes:
    participants: by number.
    ledgers: of each client.
    refusals: the last reason of each client that refused.
  """

  def __init__(
    self, participants: Mapping[int, Participant], ledger: Ledger
  ) -> None:
    """Clients with equal ledgers.

    Args:
      participants: by number.
      ledger: with which each client begins.
    """
    self.participants = dict(participants)
    self.ledgers = dict.fromkeys(participants, ledger)
    self.refusals: dict[int, str] = {}
    self._memories: dict[int, Message] = {one: {} for one in participants}

  def available(self) -> Sequence[int]:
    """All of them."""
    return sorted(self.participants)

  def ask(self, questions: Mapping[int, Message]) -> Mapping[int, Message]:
    """As `Transport.ask`."""
    replies = {}
    for identity, question in questions.items():
      try:
        answer: Answer = self.participants[identity].answer(
          identity, question, self._memories[identity], self.ledgers[identity]
        )
      except UserError as error:
        self.refusals[identity] = str(error)
        continue
      self.ledgers[identity] = answer.ledger
      self._memories[identity] = answer.memory
      replies[identity] = answer.reply
    return replies
