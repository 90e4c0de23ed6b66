"""The server's loop: towards the clients' records, paid once, resumed."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from federated_small import Faulty

from syndata_jax import keys
from syndata_jax.errors import UserError
from syndata_jax.evolution.api import Api
from syndata_jax.evolution.embedding import Embedding
from syndata_jax.evolution.federated import pending
from syndata_jax.evolution.federated.evolve import evolve_federated
from syndata_jax.evolution.federated.federation import Federation
from syndata_jax.evolution.federated.participant import Participant
from syndata_jax.evolution.federated.policy import Policy
from syndata_jax.evolution.federated.server import SecureVoters
from syndata_jax.evolution.federated.simulated import SimulatedVoters
from syndata_jax.evolution.federated.voters import Tally
from syndata_jax.evolution.options import EvolutionOptions
from syndata_jax.privacy import Ledger

POINTS = Embedding("points", lambda samples: samples, traceable=True)
CENTRES = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)


class Dots(Api):
  """Points of the unit square."""

  traceable = True

  def random(self, key, labels):
    return jax.random.uniform(key, (len(labels), 2))

  def variation(self, key, samples, labels, degree):
    step = 0.3 * degree * jax.random.normal(key, samples.shape)
    return jax.numpy.clip(samples + step, 0, 1)


class HostDots(Api):
  """The same on the host, where there is nothing to compile."""

  def random(self, key, labels):
    return keys.host(key).random((len(labels), 2), np.float32)

  def variation(self, key, samples, labels, degree):
    noise = keys.host(key).normal(size=samples.shape)
    moved = np.clip(samples + 0.3 * degree * noise, 0, 1)
    return moved.astype(np.float32)


OPTIONS = EvolutionOptions(
  num_iterations=3,
  num_samples=16,
  noise_multiplier=1.0,
  noise="discrete",
  initial_variations=1,
  keep_selected=True,
  degree_last=0.3,
)
FEDERATION = Federation(max_clients=4, min_honest=2, max_untrusted=1)
FEDERATION = dataclasses.replace(FEDERATION, clip_norm=5.0)


def _records(one):
  generator = np.random.default_rng([one, 1])
  labels = generator.permutation(20).astype(np.int32) % 2
  rows = CENTRES[labels] + 0.05 * generator.normal(size=(20, 2))
  return rows.astype(np.float32), labels


def _clients(ledger=None, **policy):
  limits = Policy(num_classes=2, dimension=2, max_norm=2.0, **policy)
  people = {
    one + 11: Participant(lambda one=one: _records(one), limits)
    for one in range(4)
  }
  return Faulty(people, ledger)


def _evolve(voters, ledger=None, options=OPTIONS, **rest):
  return evolve_federated(
    voters,
    POINTS,
    HostDots(),
    Ledger(1e-5) if ledger is None else ledger,
    jax.random.key(0),
    options,
    FEDERATION,
    2,
    **rest,
  )


def _distance(evolved):
  rows, labels = np.asarray(evolved.rendered), evolved.labels
  return np.linalg.norm(rows - CENTRES[labels], axis=1).mean()


def _simulated(num_clients=400):
  pairs = [_records(one) for one in range(num_clients)]
  return SimulatedVoters(
    np.concatenate([rows for rows, _ in pairs]),
    np.concatenate([labels for _, labels in pairs]),
    np.repeat(np.arange(num_clients), 20),
    num_clients,
    np.random.default_rng(0),
  )


def test_samples_move_to_the_records_of_clients():
  seen = []
  options = dataclasses.replace(OPTIONS, noise_multiplier=0.05)
  evolved = _evolve(
    SecureVoters(_clients()),
    options=options,
    on_iteration=lambda iteration, _: seen.append(iteration.number),
  )
  assert seen == [1, 2, 3]
  assert evolved.rendered.shape == (16, 2)
  assert _distance(evolved) < 0.2
  # Where nobody is asked, nothing moves.
  start = np.asarray(Dots().random(jax.random.key(1), np.zeros(400, np.int32)))
  assert np.linalg.norm(start - CENTRES[0], axis=1).mean() > 0.5
  # Three releases, of the client's unit.
  assert len(evolved.ledger.releases) == 3
  statement = evolved.ledger.statement(**FEDERATION.answers())
  assert "one client" in statement.unit
  assert "one client" in evolved.ledger.releases[0].details[0]
  assert [entry.epsilon for entry in evolved.history] == sorted(
    entry.epsilon for entry in evolved.history
  )
  assert evolved.history[-1].epsilon == evolved.ledger.epsilon()


@pytest.mark.parametrize("budget", ["uniform", "increasing"])
def test_epsilon_is_spent_and_not_exceeded(budget):
  options = dataclasses.replace(
    OPTIONS, noise_multiplier=0.0, epsilon=2.0, budget=budget
  )
  ledger = Ledger(1e-5, budget=2.0)
  evolved = _evolve(_Plain(), ledger, options)
  assert 1.9 < evolved.ledger.epsilon() <= 2.0


class _Plain:
  """The noiseless voice of nobody, with whatever the server is to see."""

  def __init__(self, *tallies):
    self.tallies = list(tallies)
    self.calls = 0

  def tally(self, mechanism, ballot, before_release):
    self.calls += 1
    answer = self.tallies.pop(0) if self.tallies else "votes"
    if answer == "void":
      return Tally(None, 0, "2 clients are there, 3 are needed")
    before_release()
    if answer == "dies":
      raise KeyboardInterrupt
    if answer == "late":
      return Tally(None, 0, "the mask of client 7 cannot be taken off")
    size = mechanism.num_candidates
    outside = 1 << (mechanism.bits - 1)
    value = outside if answer == "nonsense" else mechanism.scale
    return Tally(np.full(size, value, np.uint64), 4)


def test_nothing_is_asked_where_the_budget_is_too_small():
  voters = _Plain()
  with pytest.raises(UserError, match="budget"):
    _evolve(voters, Ledger(1e-5, budget=1.0))
  assert not voters.calls


def test_a_void_round_is_repeated_and_costs_nothing(tmp_path):
  voters = _Plain("void", "late")
  evolved = _evolve(voters, folder=tmp_path)
  assert voters.calls == 5
  assert len(evolved.ledger.releases) == 3


def test_void_each_time_the_run_stops_and_can_go_on(tmp_path):
  voters = _Plain("votes", "void", "void", "void")
  with pytest.raises(UserError, match=r"iteration 2 was void.*3 are needed"):
    _evolve(voters, folder=tmp_path)
  voters = _Plain()
  evolved = _evolve(voters, folder=tmp_path)
  assert voters.calls == 2  # the first was paid for, and is not asked again
  whole = _evolve(_Plain())
  np.testing.assert_array_equal(evolved.rendered, whole.rendered)
  assert evolved.ledger == whole.ledger


@pytest.mark.parametrize("first", [(), ("votes",)])
def test_a_sum_that_the_server_lost_is_paid_for_and_left_out(tmp_path, first):
  with pytest.raises(KeyboardInterrupt):
    _evolve(_Plain(*first, "dies"), folder=tmp_path)
  assert (tmp_path / pending.FILE).exists()
  voters = _Plain()
  evolved = _evolve(voters, folder=tmp_path)
  assert voters.calls == 2 - len(first)
  assert len(evolved.ledger.releases) == 3
  assert len(evolved.history) == 3
  assert not (tmp_path / pending.FILE).exists()


def test_another_run_is_refused(tmp_path):
  _evolve(_Plain(), folder=tmp_path)
  other = dataclasses.replace(OPTIONS, num_iterations=4)
  with pytest.raises(UserError, match="another run"):
    _evolve(_Plain(), options=other, folder=tmp_path)


def test_a_finished_run_asks_nobody(tmp_path):
  first = _evolve(_Plain(), folder=tmp_path)
  voters = _Plain()
  again = _evolve(voters, folder=tmp_path)
  assert not voters.calls
  np.testing.assert_array_equal(first.rendered, again.rendered)


def test_a_liar_costs_neither_the_run_nor_the_guarantee():
  transport = _clients()
  garbage = np.random.default_rng(0)
  transport.forged = {
    (11, "vote"): lambda reply: {"masked": garbage.bytes(len(reply["masked"]))}
  }
  evolved = _evolve(SecureVoters(transport))
  assert len(evolved.history) == 3
  # Three honest ones are left, and the noise of two was accounted.
  honest = _evolve(_Plain()).ledger.epsilon()
  assert evolved.ledger.epsilon() == pytest.approx(honest, rel=1e-3)
  assert {len(own.releases) for own in transport.ledgers.values()} == {3}


def test_a_sum_of_nonsense_changes_nothing_but_the_budget():
  lost = _evolve(_Plain("nonsense", "nonsense", "nonsense"))
  assert len(lost.ledger.releases) == 3
  start = HostDots().random(
    keys.stream(jax.random.key(0), "evolution.random"), np.zeros(16)
  )
  np.testing.assert_array_equal(lost.rendered, start)
  assert not any(entry.signal.mass for entry in lost.history)


def test_a_client_keeps_its_own_budget():
  """Whatever the server's ledger allows, a client stops when its own is out."""
  options = dataclasses.replace(OPTIONS, num_iterations=6)
  one = FEDERATION.mechanism(32, 1.0).release()
  two = Ledger(1e-5, releases=(one, one)).epsilon()
  transport = _clients(Ledger(1e-5, budget=1.01 * two))
  with pytest.raises(UserError, match="iteration 3 was void"):
    _evolve(SecureVoters(transport), options=options)
  assert {len(own.releases) for own in transport.ledgers.values()} == {2}
  assert "budget" in transport.refusals[11]


def test_many_clients_in_one_process():
  federation = dataclasses.replace(
    FEDERATION, max_clients=400, min_honest=300, max_untrusted=50
  )
  options = dataclasses.replace(OPTIONS, noise_multiplier=0.0, epsilon=4.0)
  evolved = evolve_federated(
    _simulated(),
    POINTS,
    Dots(),
    Ledger(1e-5, budget=4.0),
    jax.random.key(0),
    options,
    federation,
    2,
  )
  assert _distance(evolved) < 0.2
  assert evolved.ledger.epsilon() <= 4.0


@pytest.mark.parametrize(
  "change, message",
  [
    ({"noise": "gaussian"}, "noise='gaussian'"),
    ({"class_shares": "private"}, "class_shares"),
    ({"start_check_share": 0.1}, "start_check_share"),
    ({"neighbours": "replace_one"}, "neighbours"),
    ({"nearest": 17}, "nearest=17"),
  ],
)
def test_bad_input(change, message):
  voters = _Plain()
  with pytest.raises(UserError, match=message):
    _evolve(voters, options=dataclasses.replace(OPTIONS, **change))
  assert not voters.calls


def test_nothing_clean_is_in_the_files(tmp_path):
  """Noiseless sums of the clients are in no file, nor is a record."""
  options = dataclasses.replace(OPTIONS, noise_multiplier=5.0)
  transport = _clients()
  _evolve(SecureVoters(transport), options=options, folder=tmp_path)
  content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
  for one in range(4):
    rows, _ = _records(one)
    assert not any(row.tobytes() in content for row in rows)
  with np.load(tmp_path / "evolution.npz") as stored:
    head = json.loads(stored["head"].tobytes())
    histograms = [stored[name] for name in stored if name.startswith("noisy")]
  assert len(histograms) == len(head["noises"]) == 3
  # A clean sum of votes has no negative entry.
  assert all(noisy.min() < -1 for noisy in histograms)
