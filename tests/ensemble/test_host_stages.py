"""Stages outside JAX: whole, interrupted, rehearsed."""

import numpy as np
import pytest

from syndata_jax.ensemble import HostRounds, Workspace, rehearsal
from syndata_jax.errors import UserError

ROUNDS = 6


class Stopped(Exception):
  """What a kill is in these tests."""


def counted(number=ROUNDS, ran=None):
  """Sums of the numbers of the rounds."""

  def run(number, state):
    if ran is not None:
      ran.append(number)
    return {"sum": state["sum"] + number}, {"loss": 0.5 * number}, {}

  return HostRounds(
    number, 2, run, lambda: {"sum": np.zeros(1, np.int32)}, images=10
  )


def drawn(ran):
  def run(number, state):
    ran.append(number)
    return state, {}, {"images": np.full(3, number, np.uint8)}

  return HostRounds(ROUNDS, 2, run)


def stopping(at):
  def on_round(done):
    if done.number == at:
      raise Stopped

  return on_round


def test_a_state_continues_at_its_checkpoint(tmp_path):
  told = []
  with pytest.raises(Stopped):
    Workspace(tmp_path, stopping(5), every=2).repeat_on_host("sum", counted())
  ran = []
  workspace = Workspace(tmp_path, told.append, every=2)
  state = workspace.repeat_on_host("sum", counted(ran=ran))
  assert state["sum"].tolist() == [21] and ran == [5, 6]
  assert [done.metrics["loss"].item() for done in told] == [2.5, 3.0]
  assert [(done.images, done.left) for done in told] == [(10, 10), (10, 0)]
  assert {done.of for done in told} == {ROUNDS}
  again = workspace.repeat_on_host("sum", counted(ran=ran))
  assert again["sum"].tolist() == [21] and ran == [5, 6]
  with pytest.raises(UserError, match=r"sum: num_epochs: .* 6 of 3"):
    workspace.repeat_on_host("sum", counted(3))


def test_outputs_are_made_once(tmp_path):
  ran = []
  with pytest.raises(Stopped):
    Workspace(tmp_path, stopping(4)).produce_on_host("draw", drawn(ran))
  shards = Workspace(tmp_path).produce_on_host("draw", drawn(ran))
  assert ran == [1, 2, 3, 4, 4, 5, 6]
  path, _ = shards.paths(2)
  path.write_bytes(path.read_bytes()[:-1])
  shards = Workspace(tmp_path).produce_on_host("draw", drawn(ran))
  assert ran[7:] == [2]
  images = [shard["images"].tolist() for shard in shards]
  assert images == [[n] * 3 for n in range(1, ROUNDS + 1)]


def test_a_loss_that_diverges(tmp_path):
  rounds = counted()._replace(
    run=lambda number, state: (state, {"loss": float("nan")}, {})
  )
  with pytest.raises(UserError, match="learning_rate: the loss became nan"):
    Workspace(tmp_path).repeat_on_host("sum", rounds)


def test_a_rehearsal_runs_a_few_rounds(tmp_path, monkeypatch):
  monkeypatch.setattr(rehearsal, "_SECONDS", 0.0)
  trial, ran = rehearsal.Rehearsal(tmp_path), []
  state = trial.repeat_on_host("sum", counted(ran=ran))
  shards = trial.produce_on_host("draw", drawn(ran))
  assert state["sum"].tolist() == [1] and ran == [1, 1]
  assert [shard["images"].tolist() for shard in shards] == [[1] * 3] * ROUNDS
  first, second = trial.estimates
  assert (first.stage, first.rounds, first.models) == ("sum", ROUNDS, 2)
  assert first.images == 10 * ROUNDS
  assert second.seconds == pytest.approx(second.round * ROUNDS)
