"""A few clients with a few records, for tests of the federated vote."""

import numpy as np
import pytest

from syndata_jax.errors import UserError
from syndata_jax.evolution.federated.mechanism import DistributedSkellam
from syndata_jax.evolution.federated.participant import Participant
from syndata_jax.evolution.federated.policy import Ballot, Policy
from syndata_jax.evolution.federated.voters import LocalTransport
from syndata_jax.privacy import Ledger

pytest.importorskip("flwr")

DIMENSION, CLASSES = 3, 2
SIZES = (5, 7)


def mechanism(**fields):
  return DistributedSkellam(
    **{
      "clip_norm": 2.0,
      "scale": 128,
      "noise_multiplier": 0.0,
      "num_candidates": sum(SIZES),
      "max_clients": 4,
      "min_honest": 3,
      **fields,
    }
  )


def ballot(seed=0, **fields):
  rows = np.random.default_rng(seed).normal(size=(sum(SIZES), DIMENSION))
  return Ballot(rows.astype(np.float32), SIZES, **fields)


def records(seed, count=10):
  """Embeddings f32[P,D] and labels i32[P]."""
  generator = np.random.default_rng([seed, 7])
  rows = generator.normal(size=(count, DIMENSION)).astype(np.float32)
  return rows, generator.permutation(count).astype(np.int32) % CLASSES


def participants(count=4, **policy):
  """Clients whose numbers are as large and unordered as Flower's."""
  fields = {"num_classes": CLASSES, "dimension": DIMENSION, **policy}
  limits = Policy(**fields)
  return {
    (7919 * (one + 1)) % 10007 + 2**63 - one: Participant(
      lambda one=one: records(one), limits
    )
    for one in range(count)
  }


class Faulty(LocalTransport):
  """Clients of which some do not do as they are asked.

  Attributes:
    silent: (client, stage) of questions that stay without an answer.
    forged: by (client, stage), what is made of a reply.
    seen: all replies that reached the server, by stage.
  """

  def __init__(self, people, ledger=None):
    """All of them honest, until told otherwise."""
    super().__init__(people, ledger or Ledger(1e-5))
    self.silent = set()
    self.forged = {}
    self.seen = {}

  def ask(self, questions):
    """As those clients answer."""
    stage = next(iter(questions.values()))["stage"] if questions else ""
    heard = {
      one: question
      for one, question in questions.items()
      if (one, stage) not in self.silent
    }
    replies = dict(super().ask(heard))
    for one, reply in replies.items():
      if (one, stage) in self.forged:
        replies[one] = self.forged[one, stage](reply)
    self.seen.setdefault(stage, []).append(replies)
    return replies


def no_release():
  """Where a round must be void before anything could be known."""
  raise UserError("a sum was about to be released")
