"""The server's side of a round: a sum of votes of which it sees no summand."""

from __future__ import annotations

import collections
import dataclasses
import functools
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from syndata_jax.evolution.federated import masks
from syndata_jax.evolution.federated.client import modulo
from syndata_jax.evolution.federated.mechanism import DistributedSkellam
from syndata_jax.evolution.federated.participant import Message, threshold_of
from syndata_jax.evolution.federated.policy import Ballot
from syndata_jax.evolution.federated.voters import Tally, Transport

# Choices of shares tried where some are wrong.
_TRIALS = 64


class _Void(Exception):
  """Why a round ends without a sum, and by whom if that is known."""

  def __init__(self, reason: str, suspects: Sequence[int] = ()) -> None:
    super().__init__(reason)
    self.suspects = suspects


class Histogram(NamedTuple):
  """A noisy sum, read.

  Attributes:
    votes: f32[M]; 0 where the sum is out of range.
    num_outside: entries out of range, which no honest clients have sent.
    stddev: of the noise in votes, if all that are in the sum are honest.
    num_clients: in the sum.
  """

  votes: np.ndarray
  num_outside: int
  stddev: float
  num_clients: int


@dataclasses.dataclass
class SecureVoters:
  """Clients behind a secure sum.

  A client that does not answer, refuses, or answers what is no answer is out
  of the round from then on; in the next it may be back. The rest goes on as
  long as there are as many as the mechanism needs.

  Attributes:
    transport: to the clients.
    suspects: clients whose mask could not be taken off in an earlier round, by
      what they had sent; they are not asked again.
  """

  transport: Transport
  suspects: set[int] = dataclasses.field(default_factory=set)

  def tally(
    self,
    mechanism: DistributedSkellam,
    ballot: Ballot,
    before_release: Callable[[], None],
  ) -> Tally:
    """As `Voters.tally`."""
    try:
      return self._tally(mechanism, ballot, before_release)
    except _Void as reason:
      self.suspects.update(reason.suspects)
      return Tally(None, 0, str(reason))

  def _tally(
    self,
    mechanism: DistributedSkellam,
    ballot: Ballot,
    before_release: Callable[[], None],
  ) -> Tally:
    available = [
      one for one in self.transport.available() if one not in self.suspects
    ]
    # No amplification is claimed for this draw, which the server sees.
    count = min(len(available), mechanism.max_clients)
    invited = random.SystemRandom().sample(available, count)
    _require(mechanism, invited, "are there")

    question: Message = {"stage": "keys", **mechanism.as_dict()}
    keys = _distinct(self._ask(dict.fromkeys(invited, question), _is_keys))
    joined = sorted(_require(mechanism, keys, "took part"))

    question = {
      "stage": "shares",
      "ids": joined,
      "mask_keys": [keys[one]["mask_key"] for one in joined],
      "share_keys": [keys[one]["share_key"] for one in joined],
    }
    letters = self._ask(
      dict.fromkeys(joined, question),
      lambda one, reply: _is_letters(one, reply, joined),
    )
    present = sorted(_require(mechanism, letters, "shared their keys"))

    content = _ballot_fields(ballot)
    masked = self._ask(
      {
        one: {"stage": "vote", **_post(one, letters), **content}
        for one in present
      },
      lambda _, reply: _is_masked(reply, mechanism),
    )
    voted = sorted(_require(mechanism, masked, "voted"))
    dropped = sorted(set(present) - set(voted))

    before_release()
    question = {"stage": "unmask", "voted": voted, "dropped": dropped}
    shares = self._ask(dict.fromkeys(voted, question), _is_shares)
    held = _held(shares)
    threshold = threshold_of(len(joined))
    size, bits = mechanism.num_candidates, mechanism.bits
    total = np.zeros(size, np.uint64)
    for one in voted:
      total = total + masks.unpacked(masked[one]["masked"], bits)
      is_right = functools.partial(_has_digest, letters[one]["seed_digest"])
      seed = _recovered(held.get(one, []), threshold, is_right, one)
      total = total - masks.mask(seed, size, bits)
    for one in dropped:
      is_right = functools.partial(_has_public_key, keys[one]["mask_key"])
      private = _recovered(held.get(one, []), threshold, is_right, one)
      for other in voted:
        agreed = masks.agreed_key(private, keys[other]["mask_key"])
        pair = masks.mask(agreed, size, bits)
        # What `other` has put on, taken off.
        total = total - pair if other < one else total + pair
    return Tally(modulo(total, bits), len(voted))

  def _ask(
    self,
    questions: Mapping[int, Message],
    is_answer: Callable[[int, Message], bool],
  ) -> dict[int, Message]:
    replies = self.transport.ask(questions)
    return {
      one: reply
      for one, reply in replies.items()
      if one in questions and is_answer(one, reply)
    }


def histogram(tally: Tally, mechanism: DistributedSkellam) -> Histogram:
  """Reads the sum of a round.

  A client that lies can add anything to any entry, modulo 2^b, and honest
  clients cannot be told from it. What it does is bounded here: an entry that
  no honest clients can have sent is set to 0, so that it cannot be selected;
  of an entry within range a liar moves at most the range. That costs utility
  alone: sums of the others have their noise all the same.

  Args:
    tally: of a round that is not void.
    mechanism: of the round.

  Raises:
    ValueError: the round is void.
  """
  if tally.total is None:
    raise ValueError(f"void: {tally.void}")
  span = 1 << mechanism.bits
  # Half of what is no honest sum lies below their range, half above.
  above = (span + mechanism.largest) // 2
  steps = tally.total.astype(np.int64)
  steps = np.where(steps > above, steps - span, steps)
  tail = mechanism.tail
  outside = (steps < -tail) | (steps > mechanism.largest + tail)
  votes = np.where(outside, 0, steps) / mechanism.scale
  return Histogram(
    votes.astype(np.float32),
    int(outside.sum()),
    mechanism.stddev(tally.num_clients),
    tally.num_clients,
  )


def _require(mechanism: DistributedSkellam, clients: Any, did: str) -> Any:
  if len(clients) < mechanism.survivors:
    raise _Void(
      f"{len(clients)} clients {did}, {mechanism.survivors} are needed"
    )
  return clients


def _distinct(keys: Mapping[int, Message]) -> dict[int, Message]:
  """Without clients that have a key twice, or that of another."""
  counts = collections.Counter(
    reply[name] for reply in keys.values() for name in ("mask_key", "share_key")
  )
  return {
    one: reply
    for one, reply in keys.items()
    if counts[reply["mask_key"]] == counts[reply["share_key"]] == 1
  }


def _ballot_fields(ballot: Ballot) -> Message:
  return {
    "candidates": np.asarray(ballot.candidates, "<f4").tobytes(),
    "sizes": [int(size) for size in ballot.sizes],
    "nearest": ballot.nearest,
    "metric": ballot.metric,
  }


def _post(receiver: int, letters: Mapping[int, Message]) -> Message:
  """What the others have sent to a client."""
  senders, ciphertexts = [], []
  for sender in sorted(letters):
    if sender != receiver:
      place = letters[sender]["receivers"].index(receiver)
      senders.append(sender)
      ciphertexts.append(letters[sender]["ciphertexts"][place])
  return {"senders": senders, "ciphertexts": ciphertexts}


def _held(shares: Mapping[int, Message]) -> dict[int, list[bytes]]:
  """Shares by the client whose secret they are of."""
  held: dict[int, list[bytes]] = {}
  for reply in shares.values():
    for owner, share in zip(reply["owners"], reply["shares"], strict=True):
      held.setdefault(owner, []).append(share)
  return held


def _recovered(
  shares: Sequence[bytes],
  threshold: int,
  is_right: Callable[[bytes], bool],
  owner: int,
) -> bytes:
  """The secret of shares some of which may be wrong."""
  chance = random.SystemRandom()
  # Of half of the shares at random, each wrong one is left out every other
  # time; which are wrong nobody knows.
  for _ in range(_TRIALS if len(shares) >= threshold else 0):
    try:
      secret = masks.combine(chance.sample(shares, threshold))
      if is_right(secret):
        return secret
    except masks.BrokenSecret:
      continue
  raise _Void(
    f"the mask of client {owner} cannot be taken off: {len(shares)} shares,"
    f" {threshold} right ones are needed",
    # With enough shares it is the owner who shared out what does not fit.
    [owner] if len(shares) >= threshold else [],
  )


def _has_digest(wanted: bytes, secret: bytes) -> bool:
  return masks.digest(secret) == wanted


def _has_public_key(wanted: bytes, secret: bytes) -> bool:
  return masks.public_key(secret) == wanted


def _is_keys(_: int, reply: Message) -> bool:
  names = ("mask_key", "share_key")
  if not all(isinstance(reply.get(name), bytes) for name in names):
    return False
  try:  # a point of the curve, or others would stumble over it
    probe = masks.new_private_key()
    return all(masks.agreed_key(probe, reply[name]) for name in names)
  except masks.BrokenSecret:
    return False


def _is_letters(sender: int, reply: Message, joined: Sequence[int]) -> bool:
  receivers, ciphertexts = reply.get("receivers"), reply.get("ciphertexts")
  return (
    isinstance(reply.get("seed_digest"), bytes)
    and isinstance(receivers, list)
    and isinstance(ciphertexts, list)
    and len(receivers) == len(ciphertexts)
    and sorted(receivers) == [one for one in joined if one != sender]
    and all(isinstance(one, bytes) for one in ciphertexts)
  )


def _is_masked(reply: Message, mechanism: DistributedSkellam) -> bool:
  content = reply.get("masked")
  size = mechanism.num_candidates * mechanism.bits // 8
  return isinstance(content, bytes) and len(content) == size


def _is_shares(_: int, reply: Message) -> bool:
  owners, shares = reply.get("owners"), reply.get("shares")
  return (
    isinstance(owners, list)
    and isinstance(shares, list)
    and len(owners) == len(shares)
    and all(isinstance(one, int) for one in owners)
    and all(isinstance(one, bytes) for one in shares)
  )
