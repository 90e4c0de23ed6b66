"""A client's side of one round: four questions, four answers.

The secure sum is that of Bonawitz et al., "Practical Secure Aggregation for
Privacy-Preserving Machine Learning" (2017), for a server that may be curious
but follows the protocol:

1. `keys`: the server sends the mechanism; the client answers with two fresh
   public keys.
2. `shares`: it sends everybody's public keys; the client shares out its two
   secrets, the key of its masks with others and the seed of its own mask,
   encrypted for each.
3. `vote`: it sends what others have shared, and the candidates; the client
   answers with its votes and noise under all its masks.
4. `unmask`: it sends who is in the sum and who dropped out; the client gives
   its shares of the seeds of those in it, and of the keys of those not in it.

Each pair of clients has a mask that one adds and the other subtracts; each
client has a mask of its own beside these, so that a vote that comes too late
stays hidden. No client ever gives both shares of one other.

Functions are pure: what a client remembers between questions is a flat
dictionary of numbers and bytes, which Flower can carry.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import numpy as np
from absl import logging

from syndata_jax.errors import UserError
from syndata_jax.evolution.federated import client, masks
from syndata_jax.evolution.federated.mechanism import DistributedSkellam
from syndata_jax.evolution.federated.policy import Ballot, Policy
from syndata_jax.images.neighbours import Metric
from syndata_jax.privacy.ledger import Ledger

# Numbers, strings and bytes, and lists of one of these; what Flower carries.
Message = dict[str, Any]

STAGES = ("keys", "shares", "vote", "unmask")

_MECHANISM = tuple(
  field.name for field in dataclasses.fields(DistributedSkellam)
)


class Answer(NamedTuple):
  """What a question leads to.

  Attributes:
    reply: to the server.
    memory: until the next question; secret.
    ledger: the client's own, to be saved before the reply is sent.
  """

  reply: Message
  memory: Message
  ledger: Ledger


@dataclasses.dataclass(frozen=True)
class Participant:
  """One client.

  Attributes:
    records: gives embeddings f32[P,D] and labels i32[P] of its private
      records; called when it votes, not before.
    policy: what it lets a server ask.
  """

  records: Callable[[], tuple[np.ndarray, np.ndarray]]
  policy: Policy

  def answer(
    self,
    identity: int,
    question: Mapping[str, Any],
    memory: Mapping[str, Any],
    ledger: Ledger,
  ) -> Answer:
    """Answers one question.

    A client that comes back after it was away begins with `keys`, whatever it
    remembers.

    Args:
      identity: its number among the clients.
      question: of the server.
      memory: of the last answer, or empty.
      ledger: of the client.

    Raises:
      UserError: a question that is not allowed, which the client refuses. The
        message tells nothing private, and the memory stays as it was.
    """
    stage = question.get("stage")
    expected = memory.get("next", "keys")
    if stage not in ("keys", expected):
      raise UserError(f"stage={stage}: must be {expected}")
    try:
      if stage == "keys":
        return self._keys(identity, question, ledger)
      if stage == "shares":
        return _shares(question, memory, ledger)
      if stage == "vote":
        return self._vote(question, memory, ledger)
      return _unmask(question, memory, ledger)
    except (KeyError, TypeError, ValueError, masks.BrokenSecret) as error:
      if isinstance(error, UserError):
        raise
      # Of the question's form; what is private has been checked on loading.
      raise UserError(f"stage={stage}: not a question of this form") from error

  def _keys(
    self, identity: int, question: Mapping[str, Any], ledger: Ledger
  ) -> Answer:
    mechanism = mechanism_of(question)
    self.policy.check_mechanism(mechanism)
    ledger.add(mechanism.release())  # refuses here already what it would below
    mask_key, share_key = masks.new_private_key(), masks.new_private_key()
    reply = {
      "mask_key": masks.public_key(mask_key),
      "share_key": masks.public_key(share_key),
    }
    memory = {
      "next": "shares",
      "identity": identity,
      "mask_private": mask_key,
      "share_private": share_key,
      **mechanism.as_dict(),
    }
    return Answer(reply, memory, ledger)

  def _vote(
    self,
    question: Mapping[str, Any],
    memory: Mapping[str, Any],
    ledger: Ledger,
  ) -> Answer:
    mechanism = mechanism_of(memory)
    me, ids = memory["identity"], list(memory["ids"])
    senders = list(question["senders"])
    present = {*senders, me}
    if len(present) != len(senders) + 1 or not present <= set(ids):
      raise UserError("senders: must be other clients of the round, each once")
    if len(present) < mechanism.survivors:
      raise UserError(
        f"senders={len(senders)}: must be at least {mechanism.survivors - 1}"
      )
    ballot = ballot_of(question, self.policy.dimension)
    self.policy.check_ballot(ballot, mechanism.num_candidates)
    # Paid before it leaves: the others can unmask it without this client.
    ledger = ledger.add(mechanism.release())
    embeddings, labels = self._read()
    votes = client.clean_votes(
      embeddings,
      labels,
      ballot.candidates,
      ballot.sizes,
      ballot.nearest,
      cast(Metric, ballot.metric),
    )
    hidden = client.contribution(votes, mechanism)
    size, bits = mechanism.num_candidates, mechanism.bits
    hidden = hidden + masks.mask(memory["seed"], size, bits)
    publics = dict(zip(ids, memory["mask_publics"], strict=True))
    for other in senders:
      agreed = masks.agreed_key(memory["mask_private"], publics[other])
      pair = masks.mask(agreed, size, bits)
      hidden = hidden + pair if me < other else hidden - pair
    reply = {"masked": masks.packed(client.modulo(hidden, bits), bits)}
    remembered = {
      **_without(memory, "seed", "mask_private", "mask_publics"),
      "next": "unmask",
      "present": sorted(present),
      **_received(question, memory),
    }
    return Answer(reply, remembered, ledger)

  def _read(self) -> tuple[np.ndarray, np.ndarray]:
    try:
      embeddings, labels = self.records()
      embeddings = np.asarray(embeddings, np.float32)
      labels = np.asarray(labels)
      self._check(embeddings, labels)
    except Exception as error:
      # The server reads why a client refuses, and must read nothing private.
      logging.warning("records: %s", error)
      raise UserError("records: this client cannot read its own") from error
    return embeddings, labels

  def _check(self, embeddings: np.ndarray, labels: np.ndarray) -> None:
    shape = (len(labels), self.policy.dimension)
    if embeddings.shape != shape or not np.isfinite(embeddings).all():
      raise UserError(
        f"embeddings={list(embeddings.shape)}: must be {list(shape)}, finite"
      )
    outside = (labels < 0) | (labels >= self.policy.num_classes)
    if outside.any():
      raise UserError(
        f"labels={labels[outside][0]}: must be in"
        f" [0, {self.policy.num_classes})"
      )


def mechanism_of(fields: Mapping[str, Any]) -> DistributedSkellam:
  """The mechanism of a question `keys`, or of what was remembered of it.

  Raises:
    UserError: fields that are not allowed.
    KeyError: one is missing.
  """
  return DistributedSkellam(**{name: fields[name] for name in _MECHANISM})


def ballot_of(question: Mapping[str, Any], dimension: int) -> Ballot:
  """What is voted on, of a question `vote`.

  Args:
    question: of the server.
    dimension: D.
  """
  rows = np.frombuffer(question["candidates"], "<f4").reshape(-1, dimension)
  return Ballot(
    rows,
    tuple(question["sizes"]),
    question["nearest"],
    question["metric"],
  )


def _shares(
  question: Mapping[str, Any], memory: Mapping[str, Any], ledger: Ledger
) -> Answer:
  mechanism = mechanism_of(memory)
  me = memory["identity"]
  ids = list(question["ids"])
  mask_publics = list(question["mask_keys"])
  share_publics = list(question["share_keys"])
  place = {identity: index for index, identity in enumerate(ids)}
  if len(place) != len(ids) or me not in place:
    raise UserError("ids: must be the clients of the round, each once")
  if not mechanism.survivors <= len(ids) <= mechanism.max_clients:
    raise UserError(
      f"ids={len(ids)}: must be {mechanism.survivors} to"
      f" {mechanism.max_clients} clients"
    )
  own_keys = mask_publics[place[me]], share_publics[place[me]]
  if own_keys != (
    masks.public_key(memory["mask_private"]),
    masks.public_key(memory["share_private"]),
  ):
    raise UserError("mask_keys: must have this client's own in its place")
  if len({*mask_publics, *share_publics}) != 2 * len(ids):
    raise UserError("mask_keys: must be all different")
  threshold = threshold_of(len(ids))
  seed = masks.new_seed()
  seeds = masks.split(seed, threshold, len(ids))
  keys = masks.split(memory["mask_private"], threshold, len(ids))
  others = [identity for identity in ids if identity != me]
  ciphertexts = [
    masks.encrypt(
      masks.agreed_key(memory["share_private"], share_publics[place[other]]),
      _letter(me, other, seeds[place[other]], keys[place[other]]),
    )
    for other in others
  ]
  reply = {
    "receivers": others,
    "ciphertexts": ciphertexts,
    # By which the server knows a wrong share from a right one.
    "seed_digest": masks.digest(seed),
  }
  remembered = {
    **memory,
    "next": "vote",
    "ids": ids,
    "mask_publics": mask_publics,
    "share_publics": share_publics,
    "seed": seed,
    "own_seed_share": seeds[place[me]],
  }
  return Answer(reply, remembered, ledger)


def _received(
  question: Mapping[str, Any], memory: Mapping[str, Any]
) -> Message:
  """The shares that others have sent; what cannot be read is left out."""
  me, ids = memory["identity"], memory["ids"]
  publics = dict(zip(ids, memory["share_publics"], strict=True))
  held: list[int] = []
  seeds: list[bytes] = []
  keys: list[bytes] = []
  for sender, ciphertext in zip(
    question["senders"], question["ciphertexts"], strict=True
  ):
    try:
      agreed = masks.agreed_key(memory["share_private"], publics[sender])
      seed, key = _opened(masks.decrypt(agreed, ciphertext), sender, me)
    except masks.BrokenSecret:
      continue
    held.append(sender)
    seeds.append(seed)
    keys.append(key)
  return {"held": held, "seed_shares": seeds, "key_shares": keys}


def _unmask(
  question: Mapping[str, Any], memory: Mapping[str, Any], ledger: Ledger
) -> Answer:
  mechanism = mechanism_of(memory)
  me = memory["identity"]
  voted, dropped = set(question["voted"]), set(question["dropped"])
  # Of no client both, and of all clients one: else two sums could be had.
  if voted & dropped or voted | dropped != set(memory["present"]):
    raise UserError("voted: must be, with dropped, the clients of the round")
  if me not in voted or len(voted) < mechanism.survivors:
    raise UserError(
      f"voted={len(voted)}: must be at least {mechanism.survivors} clients,"
      " this one among them"
    )
  seeds = dict(zip(memory["held"], memory["seed_shares"], strict=True))
  keys = dict(zip(memory["held"], memory["key_shares"], strict=True))
  seeds[me] = memory["own_seed_share"]
  given = {
    **{one: seeds[one] for one in sorted(voted) if one in seeds},
    **{one: keys[one] for one in sorted(dropped) if one in keys},
  }
  reply = {"owners": list(given), "shares": list(given.values())}
  return Answer(reply, {}, ledger)


def threshold_of(num_clients: int) -> int:
  """Shares that give a secret: more than half, so that no two sums can."""
  return num_clients // 2 + 1


def _letter(sender: int, receiver: int, seed: bytes, key: bytes) -> bytes:
  """Two shares, and who sends them to whom, so that none can be redirected."""
  from flwr.common.secure_aggregation import secaggplus_utils

  return bytes(
    secaggplus_utils.share_keys_plaintext_concat(sender, receiver, seed, key)
  )


def _opened(letter: bytes, sender: int, receiver: int) -> tuple[bytes, bytes]:
  from flwr.common.secure_aggregation import secaggplus_utils

  named, to, seed, key = secaggplus_utils.share_keys_plaintext_separate(letter)
  if (named, to) != (sender, receiver):
    raise masks.BrokenSecret("a letter of or for somebody else")
  return seed, key


def _without(memory: Mapping[str, Any], *names: str) -> Message:
  return {name: value for name, value in memory.items() if name not in names}
