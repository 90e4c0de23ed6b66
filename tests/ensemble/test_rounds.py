"""A stage of rounds, whole and interrupted, against integers in a loop."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from syndata_jax.ensemble import Checkpoints, make_layout
from syndata_jax.ensemble.rounds import Rounds, repeat
from syndata_jax.errors import UserError

M, ROUNDS = 5, 6
FACTOR, SHARED = 1664525, 1013904223


def stage(number=ROUNDS, devices=2):
  """A congruential generator a model: every round decides every bit."""
  layout = make_layout(M, devices=jax.devices()[:devices])

  def one(state, data, shared):
    return {"x": FACTOR * state["x"] + data + shared}, state["x"]

  return layout, Rounds(
    number,
    "rounds",
    layout.compile(one, donate=True),
    lambda: {"x": jnp.arange(M, dtype=jnp.uint32)},
    {"x": jax.ShapeDtypeStruct((M,), jnp.uint32)},
    lambda number: layout.place(number * np.arange(3, 3 + M, dtype=np.uint32)),
  )


def by_hand(rounds):
  """uint32[rounds + 1, M], the states before and after every round."""
  found, modulus = [list(range(M))], 1 << 32
  for number in range(1, rounds + 1):
    found.append(
      [
        (FACTOR * x + number * (3 + m) + SHARED) % modulus
        for m, x in enumerate(found[-1])
      ]
    )
  return np.array(found, np.uint32)


class Stopped(Exception):
  """What a kill is in these tests."""


class Told:
  """Remembers what is reported; stops the stage after a round."""

  def __init__(self, stop=None):
    self.stop, self.numbers, self.metrics = stop, [], []

  def __call__(self, number, seconds, metrics):
    assert seconds > 0
    self.numbers.append(number)
    self.metrics.append(metrics)
    if number == self.stop:
      raise Stopped


def run(checkpoints=None, told=None, number=ROUNDS, devices=2):
  layout, rounds = stage(number, devices)
  shared = layout.replicate(np.uint32(SHARED))
  return repeat(layout, rounds, shared, checkpoints, told or Told())["x"]


def epochs(folder):
  return sorted(int(path.stem) for path in folder.glob("*.sha256"))


@pytest.mark.parametrize("devices", [1, 2])
def test_rounds_equal_the_loop_and_report_each(devices):
  told, want = Told(), by_hand(ROUNDS)
  np.testing.assert_array_equal(run(told=told, devices=devices), want[-1])
  assert told.numbers == [1, 2, 3, 4, 5, 6]
  np.testing.assert_array_equal(told.metrics, want[:-1])


def test_all_checkpoints_are_kept_or_the_newest_two(tmp_path):
  run(Checkpoints(tmp_path / "all", every=1, keep_all=True))
  run(Checkpoints(tmp_path / "newest", every=1))
  run(Checkpoints(tmp_path / "rare", every=4))
  assert epochs(tmp_path / "all") == [0, 1, 2, 3, 4, 5, 6]
  assert epochs(tmp_path / "newest") == [5, 6]
  assert epochs(tmp_path / "rare") == [4, 6]
  every = Checkpoints(tmp_path / "all", keep_all=True)
  for epoch, want in enumerate(by_hand(ROUNDS)):
    np.testing.assert_array_equal(every.rows(epoch, 0, np.arange(M)), want)


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

  def data(number):
    asked.append(number)
    return rounds.data(number)

  told, shared = Told(stop=2), layout.replicate(np.uint32(SHARED))
  with pytest.raises(Stopped):
    repeat(layout, rounds._replace(data=data), shared, None, told)
  assert asked == [1, 2]


def test_no_rounds_are_the_fresh_state(tmp_path):
  checkpoints = Checkpoints(tmp_path / "stage", keep_all=True)
  np.testing.assert_array_equal(run(checkpoints, number=0), np.arange(M))
  np.testing.assert_array_equal(run(number=0), np.arange(M))
  assert epochs(tmp_path / "stage") == [0]
