"""The server gets the sum, whoever drops out or lies, and nothing else."""

import dataclasses
import math

import numpy as np
import pytest
from federated_small import (
  SIZES,
  Faulty,
  ballot,
  mechanism,
  no_release,
  participants,
  records,
)
from scipy import stats

from syndata_jax.evolution.federated import client, masks
from syndata_jax.evolution.federated.server import SecureVoters, histogram
from syndata_jax.evolution.federated.simulated import SimulatedVoters
from syndata_jax.privacy import Ledger


def _votes(one, choice, nearest=1):
  """The clean votes of a client by distances in float64."""
  rows, labels = records(one)
  votes = np.zeros(sum(SIZES))
  starts = np.cumsum(SIZES) - SIZES
  for row, label in zip(rows, labels, strict=True):
    start = starts[label]
    candidates = choice.candidates[start : start + SIZES[label]]
    order = np.argsort(np.linalg.norm(candidates - row.astype(float), axis=1))
    votes[start + order[:nearest]] += 1 / math.sqrt(nearest)
  return votes


def _plain_sum(ids, rule, nearest=1):
  total = np.zeros(sum(SIZES))
  for one in ids:
    votes = _votes(one, ballot(), nearest)
    norm = np.linalg.norm(votes)
    total += votes * min(1, rule.clip_norm / norm)
  return total


def _tally(transport, rule, calls=None):
  calls = [] if calls is None else calls
  return SecureVoters(transport).tally(
    rule, ballot(), lambda: calls.append(None)
  )


@pytest.mark.parametrize("nearest", [1, 3])
def test_the_sum_is_that_of_the_clipped_votes(nearest):
  rule, calls = mechanism(), []
  voters = SecureVoters(Faulty(participants()))
  tally = voters.tally(
    rule, ballot(nearest=nearest), lambda: calls.append(None)
  )
  assert (tally.num_clients, tally.void, len(calls)) == (4, "", 1)
  result = histogram(tally, rule)
  expected = _plain_sum(range(4), rule, nearest)
  # Rounding moves a client's entry by less than a step.
  np.testing.assert_allclose(result.votes, expected, atol=4 / rule.scale)
  assert result.num_outside == 0
  assert expected.max() > 1


def test_integers_come_through_to_the_bit():
  """Votes that need no clipping and no rounding: the sum is exact."""
  rule = mechanism(clip_norm=100.0, scale=2)
  result = histogram(_tally(Faulty(participants()), rule), rule)
  np.testing.assert_array_equal(result.votes, _plain_sum(range(4), rule))


@pytest.mark.parametrize("stage", ["keys", "shares", "vote", "unmask"])
def test_a_client_that_drops_out_costs_its_votes_alone(stage):
  rule = mechanism(clip_norm=100.0, scale=2)
  transport = Faulty(participants())
  gone = list(transport.participants)[1]
  transport.silent = {(gone, stage)}
  result = histogram(_tally(transport, rule), rule)
  # Who goes after voting is in the sum.
  ids = range(4) if stage == "unmask" else (0, 2, 3)
  assert result.num_clients == len(ids)
  np.testing.assert_array_equal(result.votes, _plain_sum(ids, rule))


def test_it_may_come_back_in_the_next_round():
  rule = mechanism(clip_norm=100.0, scale=2)
  transport = Faulty(participants())
  gone = list(transport.participants)[2]
  transport.silent = {(gone, "vote")}
  voters = SecureVoters(transport)
  assert voters.tally(rule, ballot(), lambda: None).num_clients == 3
  transport.silent = set()
  tally = voters.tally(rule, ballot(), lambda: None)
  assert tally.num_clients == 4
  np.testing.assert_array_equal(
    histogram(tally, rule).votes, _plain_sum(range(4), rule)
  )


@pytest.mark.parametrize("stage", ["keys", "shares", "vote"])
def test_with_too_few_left_a_round_is_void(stage):
  transport = Faulty(participants())
  transport.silent = {(one, stage) for one in list(transport.participants)[:2]}
  tally = SecureVoters(transport).tally(mechanism(), ballot(), no_release)
  assert tally.total is None
  assert tally.num_clients == 0
  assert "2 clients" in tally.void and "3 are needed" in tally.void
  assert "unmask" not in transport.seen


def test_with_too_few_shares_nothing_can_be_known():
  transport = Faulty(participants())
  people = list(transport.participants)
  # Three of four are needed to take a mask off; two answer.
  transport.silent = {(one, "unmask") for one in people[:2]}
  tally = _tally(transport, mechanism())
  assert tally.total is None and "3 right ones are needed" in tally.void


def test_what_the_server_sees_of_a_client_looks_like_noise():
  rule = mechanism(num_candidates=sum(SIZES))
  entries = []
  for _ in range(16):
    transport = Faulty(participants())
    _tally(transport, rule)
    for reply in transport.seen["vote"][0].values():
      entries.append(masks.unpacked(reply["masked"], rule.bits))
  stack = np.stack(entries) / 2**rule.bits
  # Each entry of each client is uniform, whatever it has voted.
  assert stats.kstest(stack.ravel(), "uniform").pvalue > 1e-3
  assert stats.kstest(stack[:, 0], "uniform").pvalue > 1e-3
  # And no two entries hang together.
  correlation = np.corrcoef(stack, rowvar=False) - np.eye(sum(SIZES))
  assert np.abs(correlation).max() < 4 / math.sqrt(len(stack))


def test_two_rounds_of_one_client_share_no_mask():
  transport = Faulty(participants())
  voters = SecureVoters(transport)
  for _ in range(2):
    voters.tally(mechanism(), ballot(), lambda: None)
  first, second = transport.seen["vote"]
  for one in transport.participants:
    assert first[one]["masked"] != second[one]["masked"]
  first, second = transport.seen["keys"]
  assert not {reply["mask_key"] for reply in first.values()} & {
    reply["mask_key"] for reply in second.values()
  }


@pytest.mark.parametrize("twist", [1, 12345, 40_000])
def test_a_liar_moves_the_sum_and_is_seen_where_no_honest_sum_can_be(twist):
  rule = mechanism(min_honest=2, max_untrusted=1)
  transport = Faulty(participants())
  liar = next(iter(transport.participants))

  def add(reply):
    values = masks.unpacked(reply["masked"], rule.bits)
    values[0] += np.uint64(twist)
    return {"masked": masks.packed(client.modulo(values, rule.bits), rule.bits)}

  transport.forged = {(liar, "vote"): add}
  result = histogram(_tally(transport, rule), rule)
  expected = _plain_sum(range(4), rule)
  # Elsewhere nothing happens.
  np.testing.assert_allclose(
    result.votes[1:], expected[1:], atol=4 / rule.scale
  )
  if twist > rule.largest + rule.tail:
    assert (result.num_outside, result.votes[0]) == (1, 0)
  else:
    moved = twist / rule.scale
    assert result.votes[0] == pytest.approx(
      expected[0] + moved, abs=4 / rule.scale
    )
    assert result.num_outside == 0


def test_a_liar_that_sends_anything_has_most_of_it_struck():
  rule = mechanism(min_honest=2, max_untrusted=1)
  transport = Faulty(participants())
  liar = next(iter(transport.participants))
  size = sum(SIZES) * rule.bits // 8
  generator = np.random.default_rng(0)
  transport.forged = {
    (liar, "vote"): lambda _: {"masked": generator.bytes(size)}
  }
  result = histogram(_tally(transport, rule), rule)
  assert result.num_outside >= sum(SIZES) - 2
  assert np.abs(result.votes).max() <= (rule.largest + rule.tail) / rule.scale


@pytest.mark.parametrize(
  "stage, forge",
  [
    ("keys", lambda reply: {**reply, "mask_key": b"no point of the curve"}),
    ("keys", lambda reply: {**reply, "share_key": reply["mask_key"]}),
    ("keys", lambda reply: {}),
    ("shares", lambda reply: {**reply, "receivers": reply["receivers"][:1]}),
    ("shares", lambda reply: {**reply, "seed_digest": 3}),
    ("vote", lambda reply: {"masked": reply["masked"][:-1]}),
    ("vote", lambda reply: {"masked": [1, 2]}),
  ],
)
def test_what_is_no_answer_counts_as_none(stage, forge):
  rule = mechanism(clip_norm=100.0, scale=2)
  transport = Faulty(participants())
  liar = list(transport.participants)[3]
  transport.forged = {(liar, stage): forge}
  tally = _tally(transport, rule)
  np.testing.assert_array_equal(
    histogram(tally, rule).votes, _plain_sum(range(3), rule)
  )


def test_wrong_shares_are_found_among_right_ones():
  rule = mechanism(clip_norm=100.0, scale=2)
  transport = Faulty(participants())
  liar, gone, *_ = transport.participants

  def spoil(reply):
    shares = [share[:-1] + b"?" for share in reply["shares"]]
    return {**reply, "shares": shares}

  transport.forged = {(liar, "unmask"): spoil}
  tally = _tally(transport, rule)
  np.testing.assert_array_equal(
    histogram(tally, rule).votes, _plain_sum(range(4), rule)
  )
  # With one more away there are too few right ones: void, not a wrong sum.
  transport.silent = {(gone, "unmask")}
  assert _tally(transport, rule).total is None


def test_who_shares_out_nonsense_voids_one_round_and_is_asked_no_more():
  rule = mechanism(clip_norm=100.0, scale=2)
  transport = Faulty(participants())
  liar = next(iter(transport.participants))
  transport.forged = {
    (liar, "shares"): lambda reply: {**reply, "seed_digest": bytes(32)}
  }
  voters = SecureVoters(transport)
  tally = voters.tally(rule, ballot(), lambda: None)
  assert tally.total is None and str(liar) in tally.void
  assert voters.suspects == {liar}
  tally = voters.tally(rule, ballot(), lambda: None)
  np.testing.assert_array_equal(
    histogram(tally, rule).votes, _plain_sum((1, 2, 3), rule)
  )


def test_letters_that_cannot_be_read_do_not_stop_the_others():
  rule = mechanism(clip_norm=100.0, scale=2)
  transport = Faulty(participants())
  liar = next(iter(transport.participants))

  def garble(reply):
    return {**reply, "ciphertexts": [b"x", *reply["ciphertexts"][1:]]}

  transport.forged = {(liar, "shares"): garble}
  tally = _tally(transport, rule)
  np.testing.assert_array_equal(
    histogram(tally, rule).votes, _plain_sum(range(4), rule)
  )


def test_noise_of_the_survivors_is_that_of_the_accounting_or_more():
  rule = mechanism(noise_multiplier=3.0, scale=16, num_candidates=sum(SIZES))
  transport = Faulty(participants())
  transport.silent = {(next(iter(transport.participants)), "vote")}
  deviations = []
  for _ in range(14):
    result = histogram(_tally(transport, rule), rule)
    deviations.append(result.votes - _plain_sum((1, 2, 3), rule))
  # Three are left of four, and three were asked for.
  assert result.stddev == pytest.approx(
    3.0 * rule.sensitivity / rule.scale, rel=1e-9
  )
  assert np.std(deviations) == pytest.approx(result.stddev, rel=0.2)


def test_simulated_clients_vote_as_real_ones():
  rule = mechanism(clip_norm=1.5)
  people = [records(one) for one in range(4)]
  simulated = SimulatedVoters(
    np.concatenate([rows for rows, _ in people]),
    np.concatenate([labels for _, labels in people]),
    np.repeat(np.arange(4), 10),
    4,
    np.random.default_rng(0),
  )
  for nearest in (1, 3):
    tally = simulated.tally(rule, ballot(nearest=nearest), lambda: None)
    np.testing.assert_allclose(
      histogram(tally, rule).votes,
      _plain_sum(range(4), rule, nearest),
      atol=4 / rule.scale,
    )
  noisy = dataclasses.replace(rule, noise_multiplier=2.0)
  sums = [
    histogram(simulated.tally(noisy, ballot(), lambda: None), noisy)
    for _ in range(60)
  ]
  deviations = np.stack([result.votes for result in sums])
  spread = (deviations - _plain_sum(range(4), rule)).std()
  assert spread == pytest.approx(sums[0].stddev, rel=0.1)
  few = dataclasses.replace(rule, max_clients=6, min_honest=5)
  assert "4 clients" in simulated.tally(few, ballot(), no_release).void


def test_every_client_has_paid_for_every_vote_that_left_it():
  rule = mechanism(noise_multiplier=3.0)
  transport = Faulty(participants(), Ledger(1e-5, budget=3.0))
  late = next(iter(transport.participants))
  transport.silent = {(late, "vote")}
  _tally(transport, rule)
  assert [len(one.releases) for one in transport.ledgers.values()] == [
    0,
    1,
    1,
    1,
  ]
