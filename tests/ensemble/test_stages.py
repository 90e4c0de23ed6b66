"""Stages of rounds, whole and interrupted, against integers in a loop."""

import dataclasses
import functools
import json
import shutil

import jax
import numpy as np
import pytest
import small

from syndata_jax import models
from syndata_jax.ensemble import (
  Checkpoints,
  Rounds,
  Workspace,
  make_layout,
  repeat,
  sgd,
)
from syndata_jax.errors import UserError

M, ROUNDS = 5, 6
FACTOR, SHARED = 1664525, 1013904223


def stage(number=ROUNDS, devices=2):
  """A congruential generator a model: every round decides every bit."""
  layout = make_layout(M, devices=jax.devices()[:devices])

  def program(state, own, fed, shared):
    after = {"x": FACTOR * state["x"] + fed * own + shared}
    return after, {"x": state["x"]}, {"doubled": {"x": 2 * state["x"][None]}}

  return layout, Rounds(
    number,
    init=lambda own, shared: {"x": own - 3},
    program=program,
    own=np.arange(3, 3 + M, dtype=np.uint32),
    shared=np.uint32(SHARED),
    feed=lambda number: np.full(M, number, np.uint32),
    images=lambda number: 10 * number,
    setting="rounds",
  )


def by_hand(rounds):
  """uint32[rounds + 1, M], the states before and after every round."""
  states, modulus = [list(range(M))], 1 << 32
  for number in range(1, rounds + 1):
    states.append(
      [
        (FACTOR * x + number * (3 + m) + SHARED) % modulus
        for m, x in enumerate(states[-1])
      ]
    )
  return np.array(states, np.uint32)


class Stopped(Exception):
  """What a kill is in these tests."""


class Told:
  """Remembers what is reported; stops the stage after a round."""

  def __init__(self, stop=None):
    self.stop, self.rounds = stop, []

  def __call__(self, done):
    assert done.seconds > 0
    self.rounds.append(done)
    if done.number == self.stop:
      raise Stopped

  @property
  def numbers(self):
    return [done.number for done in self.rounds]


def run(checkpoints=None, told=None, number=ROUNDS, devices=2):
  layout, rounds = stage(number, devices)
  return repeat(layout, rounds, checkpoints, told or Told(), "lcg")["x"]


def epochs(folder):
  return sorted(int(path.stem) for path in folder.glob("*.sha256"))


@pytest.mark.parametrize("devices", [1, 2])
def test_rounds_equal_the_loop_and_report_each(devices):
  told, want = Told(), by_hand(ROUNDS)
  np.testing.assert_array_equal(run(told=told, devices=devices), want[-1])
  assert told.numbers == [1, 2, 3, 4, 5, 6]
  assert {(done.stage, done.of) for done in told.rounds} == {("lcg", ROUNDS)}
  np.testing.assert_array_equal(
    [done.metrics["x"] for done in told.rounds], want[:-1]
  )
  # 10, 20, ... images a model in the rounds, 210 in all.
  images = [done.images for done in told.rounds]
  assert images == [M * 10 * n for n in range(1, 7)]
  left = [done.left for done in told.rounds]
  assert left == [M * (210 - 5 * n * (n + 1)) for n in range(1, 7)]


def test_all_checkpoints_are_kept_or_the_newest_two(tmp_path):
  run(Checkpoints(tmp_path / "all", every=1, keep_all=True))
  run(Checkpoints(tmp_path / "newest", every=1))
  run(Checkpoints(tmp_path / "rare", every=4))
  assert epochs(tmp_path / "all") == [0, 1, 2, 3, 4, 5, 6]
  assert epochs(tmp_path / "newest") == [5, 6]
  assert epochs(tmp_path / "rare") == [4, 6]
  read = Checkpoints(tmp_path / "all", keep_all=True).reader()
  for epoch, want in enumerate(by_hand(ROUNDS)):
    assert [read(epoch, "x", model) for model in range(M)] == want.tolist()


@pytest.mark.parametrize("last", range(ROUNDS + 1))
def test_any_kept_checkpoint_continues_to_the_same_bits(tmp_path, last):
  checkpoints = Checkpoints(tmp_path / "stage", every=1, keep_all=True)
  run(checkpoints)
  for epoch in range(last + 1, ROUNDS + 1):
    (tmp_path / "stage" / f"{epoch:05d}.sha256").unlink()
    shutil.rmtree(tmp_path / "stage" / f"{epoch:05d}")
  told = Told()
  np.testing.assert_array_equal(run(checkpoints, told), by_hand(ROUNDS)[-1])
  assert told.numbers == list(range(last + 1, ROUNDS + 1))
  assert epochs(tmp_path / "stage") == list(range(ROUNDS + 1))


def damage(folder):
  files = [path for path in folder.rglob("*") if path.is_file()]
  path = max(files, key=lambda path: path.stat().st_size)
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


@pytest.mark.parametrize("keep_all", [False, True])
def test_damaged_checkpoints_are_passed_over_and_replaced(
  tmp_path, caplog, keep_all
):
  checkpoints = Checkpoints(tmp_path / "stage", every=1, keep_all=keep_all)
  run(checkpoints, number=4)
  damage(tmp_path / "stage" / "00004")
  assert checkpoints.sound(3) and not checkpoints.sound(4)
  told = Told()
  np.testing.assert_array_equal(run(checkpoints, told), by_hand(ROUNDS)[-1])
  assert told.numbers == [4, 5, 6]
  assert "00004 is damaged" in caplog.text
  assert all(checkpoints.sound(e) for e in epochs(tmp_path / "stage"))
  assert epochs(tmp_path / "stage") == ([0, 1, 2, 3, 4] * keep_all + [5, 6])


def test_what_a_report_raises_ends_the_stage_before_its_checkpoint(tmp_path):
  checkpoints = Checkpoints(tmp_path / "stage", every=1)
  with pytest.raises(Stopped):
    run(checkpoints, Told(stop=3))
  assert epochs(tmp_path / "stage") == [1, 2]
  told = Told()
  np.testing.assert_array_equal(run(checkpoints, told), by_hand(ROUNDS)[-1])
  assert told.numbers == [3, 4, 5, 6]
  again = Told()
  np.testing.assert_array_equal(run(checkpoints, again), by_hand(ROUNDS)[-1])
  assert again.numbers == []


def test_a_checkpoint_of_a_longer_stage_is_refused(tmp_path):
  checkpoints = Checkpoints(tmp_path / "stage")
  run(checkpoints)
  with pytest.raises(UserError, match=r"rounds=2: .* is of epoch 6"):
    run(checkpoints, number=2)


def test_no_more_than_the_asked_rounds_are_made_ready():
  """Data of a round is asked for when its turn comes, and once."""
  layout, rounds = stage()
  asked = []

  def feed(number):
    asked.append(number)
    return rounds.feed(number)

  with pytest.raises(Stopped):
    repeat(layout, rounds._replace(feed=feed), None, Told(stop=2))
  assert asked == [1, 2]


def test_no_rounds_are_the_fresh_state(tmp_path):
  checkpoints = Checkpoints(tmp_path / "stage", keep_all=True)
  np.testing.assert_array_equal(run(checkpoints, number=0), np.arange(M))
  np.testing.assert_array_equal(run(number=0), np.arange(M))
  assert epochs(tmp_path / "stage") == [0]


def produced(folder, told=None):
  layout, rounds = stage()
  workspace = Workspace(folder, told or Told(), every=2)
  return workspace.produce("lcg", layout, rounds)


def test_outputs_are_kept_a_shard_a_round(tmp_path):
  shards, want = produced(tmp_path), 2 * by_hand(ROUNDS)[:-1].T
  np.testing.assert_array_equal(shards.load("doubled.x"), want)
  for number, shard in enumerate(shards):
    assert list(shard) == ["doubled.x"]
    np.testing.assert_array_equal(shard["doubled.x"][:, 0], want[:, number])


@pytest.mark.parametrize("stop", range(1, ROUNDS + 1))
def test_a_stopped_production_goes_on_to_the_same_bits(tmp_path, stop):
  with pytest.raises(Stopped):
    produced(tmp_path, Told(stop))
  told = Told()
  shards = produced(tmp_path, told)
  # From the newest checkpoint, one every second round before the stop.
  assert told.numbers[0] == (stop - 1) // 2 * 2 + 1
  want = 2 * by_hand(ROUNDS)[:-1].T
  np.testing.assert_array_equal(shards.load("doubled.x"), want)
  again = Told()
  produced(tmp_path, again)
  assert not again.rounds


def test_a_damaged_shard_is_made_again(tmp_path):
  produced(tmp_path)
  path = tmp_path / "lcg" / "shards" / "00002.npz"
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)
  want = 2 * by_hand(ROUNDS)[:-1].T
  shards = produced(tmp_path)
  np.testing.assert_array_equal(shards.load("doubled.x"), want)


KEY = jax.random.key(7)
EPOCHS = 3


def tools(**recipe):
  """A network that compiles fast, and two devices."""
  engine = small.engine(M, devices=jax.devices()[:2])
  changed = dataclasses.replace(engine.recipe, num_epochs=EPOCHS, **recipe)
  network = models.create("convnet", small.CLASSES, width=2, depth=1)
  return engine._replace(model=network, recipe=changed)


def staged(folder, data, told=None, **recipe):
  """Trains the small ensemble as a stage of a workspace."""
  engine = tools(**recipe)
  return Workspace(folder, told or Told()).train(
    "experts",
    engine.layout,
    functools.partial(sgd, engine),
    KEY,
    data,
    keep_all=True,
  )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """A stage that keeps every checkpoint: (folder, state)."""
  folder = tmp_path_factory.mktemp("whole")
  return folder, staged(folder, small.training_set(M))


def test_a_stage_trains_as_the_rounds_alone(whole):
  engine, data = tools(), small.training_set(M)
  alone = small.learn(engine.layout, functools.partial(sgd, engine), data, KEY)
  jax.tree.map(np.testing.assert_array_equal, whole[1], alone)


def test_a_stage_that_is_complete_is_not_done_again(whole, tmp_path):
  shutil.copytree(whole[0], tmp_path / "copy")
  told = Told()
  state = staged(tmp_path / "copy", small.training_set(M), told)
  assert not told.rounds
  jax.tree.map(np.testing.assert_array_equal, whole[1], state)


def reused(folder, data=None, **recipe):
  make = functools.partial(sgd, tools(**recipe))
  data = small.training_set(M) if data is None else data
  return Workspace(folder).reuse("teacher", str(folder / "experts"), make, data)


def test_a_finished_stage_of_another_run_is_reused(whole):
  _, state = reused(whole[0]).latest(jax.eval_shape(lambda: whole[1]))
  jax.tree.map(np.testing.assert_array_equal, whole[1], state)


def test_a_stage_of_another_identity_is_refused(whole, tmp_path):
  data = small.training_set(M)
  message = r"^teacher=.*experts: of another identity \({} is "
  with pytest.raises(UserError, match=message.format("momentum")):
    reused(whole[0], momentum=0.5)
  with pytest.raises(UserError, match=message.format("data set")):
    reused(whole[0], data._replace(images=255 - data.images))
  with pytest.raises(UserError, match=message.format("split")):
    reused(whole[0], data._replace(members=data.members[::-1].copy()))
  shutil.copytree(whole[0], tmp_path / "copy")
  identity = tmp_path / "copy" / "experts" / "identity.json"
  facts = json.loads(identity.read_text())
  identity.write_text(json.dumps(facts | {"version": "0.1.0"}))
  with pytest.raises(UserError, match=message.format("version")):
    reused(tmp_path / "copy")


def test_a_stage_that_has_not_ended_is_refused(whole, tmp_path):
  shutil.copytree(whole[0], tmp_path / "copy")
  (tmp_path / "copy" / "experts" / f"{EPOCHS:05d}.sha256").unlink()
  with pytest.raises(UserError, match=r"teacher=.* epoch 3 is damaged or"):
    reused(tmp_path / "copy")
  with pytest.raises(UserError, match=r"teacher=.*: no trained networks there"):
    reused(tmp_path)


def test_an_error_names_the_stage(tmp_path):
  with pytest.raises(UserError, match="experts: learning_rate: the loss of"):
    staged(tmp_path, small.training_set(M), learning_rate=1e30, warmup_epochs=0)
