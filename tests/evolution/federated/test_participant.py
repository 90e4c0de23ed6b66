"""A client refuses what it should not answer, and says nothing private."""

import math
import re

import numpy as np
import pytest
from federated_small import (
  CLASSES,
  DIMENSION,
  Faulty,
  ballot,
  mechanism,
  participants,
)

from syndata_jax.errors import UserError
from syndata_jax.evolution.federated.client import clean_votes, contribution
from syndata_jax.evolution.federated.participant import Participant
from syndata_jax.evolution.federated.policy import Ballot, Policy
from syndata_jax.evolution.federated.server import SecureVoters, histogram
from syndata_jax.privacy import Ledger


class _Server(Faulty):
  """Changes a question before the clients hear it."""

  def __init__(self, stage, change, **policy):
    super().__init__(participants(**policy))
    self.stage, self.change = stage, change

  def ask(self, questions):
    """What the clients answer to the changed question."""
    if next(iter(questions.values()))["stage"] == self.stage:
      questions = {
        one: {**question, **self.change(question)}
        for one, question in questions.items()
      }
    return super().ask(questions)


@pytest.mark.parametrize(
  "stage, change, reason",
  [
    ("keys", lambda q: {"min_honest": 1, "max_clients": 1}, "min_honest=1"),
    ("keys", lambda q: {"num_candidates": 99}, "num_candidates=99"),
    ("keys", lambda q: {"scale": 0}, "scale=0"),
    ("keys", lambda q: {"stage": "vote"}, "stage=vote: must be keys"),
    ("shares", lambda q: {"ids": q["ids"][:2]}, "ids=2"),
    ("shares", lambda q: {"ids": [q["ids"][0]] * 4}, "each once"),
    ("shares", lambda q: {"mask_keys": q["share_keys"]}, "this client's own"),
    ("shares", lambda q: {"share_keys": 3}, "not a question of this form"),
    ("vote", lambda q: {"senders": q["senders"][:1]}, "senders=1"),
    ("vote", lambda q: {"senders": [5, 6, 7]}, "senders: must be other"),
    ("vote", lambda q: {"sizes": [12]}, "sizes"),
    ("vote", lambda q: {"sizes": [11, 1]}, "at least 2"),
    ("vote", lambda q: {"candidates": q["candidates"][:-12]}, "candidates"),
    ("vote", lambda q: {"nearest": 6}, "k=6"),
    ("vote", lambda q: {"metric": "taxi"}, "metric"),
    ("unmask", lambda q: {"voted": q["voted"][:2]}, "voted"),
    ("unmask", lambda q: {"dropped": q["voted"][:1]}, "voted"),
    (
      "unmask",
      lambda q: {"voted": q["voted"][:2], "dropped": q["voted"][2:]},
      "voted=2",
    ),
  ],
)
def test_questions_that_are_refused(stage, change, reason):
  transport = _Server(stage, change, max_candidates=50)
  tally = SecureVoters(transport).tally(mechanism(), ballot(), lambda: None)
  assert tally.total is None
  assert any(re.search(reason, why) for why in transport.refusals.values())
  assert all("\n" not in why for why in transport.refusals.values())


def test_both_secrets_of_a_client_are_never_given():
  """Nor are masks taken off twice, of two sums that differ by one client."""
  transport = Faulty(participants())
  SecureVoters(transport).tally(mechanism(), ballot(), lambda: None)
  people = list(transport.participants)
  again = {"stage": "unmask", "voted": people[:3], "dropped": people[3:]}
  assert not transport.ask(dict.fromkeys(people[:3], again))
  assert set(transport.refusals.values()) == {"stage=unmask: must be keys"}


def test_a_probe_where_no_record_can_be_is_refused():
  limits = Policy(CLASSES, DIMENSION, max_norm=2.0)
  rows = np.zeros((4, DIMENSION), np.float32)
  limits.check_ballot(Ballot(rows, (2, 2)), 4)
  for value, message in ((9.0, "L2 norm 9"), (math.nan, "finite")):
    rows[1, 0] = value
    with pytest.raises(UserError, match=message):
      limits.check_ballot(Ballot(rows, (2, 2)), 4)


def test_a_budget_that_would_be_exceeded_is_not_begun():
  people = participants()
  transport = Faulty(people, Ledger(1e-5, budget=0.1))
  rule = mechanism(noise_multiplier=3.0)
  tally = SecureVoters(transport).tally(rule, ballot(), lambda: None)
  assert "0 clients took part" in tally.void
  assert all("budget=0.1" in why for why in transport.refusals.values())
  assert not any(own.releases for own in transport.ledgers.values())


def _unreadable():
  raise ValueError("a secret diagnosis in line 3")


@pytest.mark.parametrize(
  "read",
  [
    _unreadable,
    lambda: (np.zeros((2, DIMENSION)), np.array([0, CLASSES])),
    lambda: (np.zeros((2, DIMENSION + 1)), np.array([0, 1])),
    lambda: (np.full((2, DIMENSION), np.nan), np.array([0, 1])),
  ],
)
def test_what_is_wrong_with_records_is_not_told(read):
  people = participants()
  one = next(iter(people))
  people[one] = Participant(read, people[one].policy)
  transport = Faulty(people)
  tally = SecureVoters(transport).tally(mechanism(), ballot(), lambda: None)
  assert tally.num_clients == 3
  assert transport.refusals[one] == "records: this client cannot read its own"


def test_clients_without_records_take_part():
  people = participants()
  empty = np.zeros((0, DIMENSION)), np.zeros(0, np.int32)
  people = {
    one: Participant(lambda: empty, person.policy)
    for one, person in people.items()
  }
  rule = mechanism()
  tally = SecureVoters(Faulty(people)).tally(rule, ballot(), lambda: None)
  assert not histogram(tally, rule).votes.any()


def test_classes_are_clipped_together():
  """Clipped class by class, ten classes would move the sum by sqrt(10) C."""
  rows = np.arange(20, dtype=np.float32)[:, None]
  votes = clean_votes(rows[::2], np.arange(10), rows, (2,) * 10)
  assert np.linalg.norm(votes) == pytest.approx(math.sqrt(10))
  rule = mechanism(num_candidates=20, clip_norm=1.0, scale=1000)
  added = contribution(votes, rule)
  assert np.linalg.norm(added.astype(float)) <= 1.001 * rule.sensitivity
  assert rule.sensitivity < 1.01 * 1000


def test_it_votes_where_a_server_of_flawed_candidates_has_no_class_for_it():
  """Records of a class without candidates have no vote, and cost nothing."""
  transport = _Server("vote", lambda q: {"sizes": [12, 0]})
  tally = SecureVoters(transport).tally(mechanism(), ballot(), lambda: None)
  assert tally.num_clients == 4


@pytest.mark.parametrize("field", ["num_classes", "dimension", "min_honest"])
def test_limits_have_meaning(field):
  fields = {"num_classes": 2, "dimension": 3, field: 0}
  with pytest.raises(UserError, match=field):
    Policy(**fields)
