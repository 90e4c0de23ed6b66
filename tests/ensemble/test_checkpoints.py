"""Parts of checkpoints, and what is read for them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorstore

from syndata_jax.ensemble import Checkpoints
from syndata_jax.errors import UserError

M = 6


def state(seed=0):
  """Arrays as they occur: any type, up to 1.6 MB a model, and scalars."""
  rng = np.random.default_rng(seed)
  return {
    "kernel": rng.normal(size=(M, 20, 20_000)).astype(np.float32),
    "bias": rng.normal(size=(M, 7)).astype(jnp.bfloat16),
    "right": rng.random((M, 33)) < 0.5,
    "step": rng.integers(0, 100, M).astype(np.int32),
  }


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
  """Epochs 0 and 1 of different states."""
  checkpoints = Checkpoints(tmp_path_factory.mktemp("kept"), keep_all=True)
  for epoch in (0, 1):
    checkpoints.save(epoch, state(epoch))
  return checkpoints


def bytes_read():
  """By TensorStore from files, since the start of the process."""
  name = "/tensorstore/kvstore/file/bytes_read"
  metrics = tensorstore.experimental_collect_matching_metrics(name)
  return metrics[0]["values"][0]["value"]


def test_parts_are_those_that_were_saved(kept):
  rng, read = np.random.default_rng(2), kept.reader()
  for epoch in (1, 0):
    for name, want in state(epoch).items():
      for model in rng.integers(0, M, 4):  # in any order, and more than once
        part = read(epoch, name, model)
        assert part.dtype == want.dtype
        np.testing.assert_array_equal(part, want[model])


def test_one_part_is_read_without_the_others(kept):
  read = kept.reader()
  read(0, "kernel", 0)  # the file's own tables are read here
  own = state()["kernel"][0].nbytes
  for model in (3, 5):
    before = bytes_read()
    read(0, "kernel", model)
    assert own <= bytes_read() - before < 1.1 * own


def test_the_whole_state_comes_back(kept):
  epoch, stored = kept.latest(jax.eval_shape(lambda: state()))
  assert epoch == 1
  jax.tree.map(np.testing.assert_array_equal, stored, state(1))


class Before(NamedTuple):
  """A state as it was saved."""

  step: Any
  params: Any
  average: Any


class Moved(NamedTuple):
  """The same fields in another order."""

  step: Any
  average: Any
  params: Any


class More(NamedTuple):
  """A field was added."""

  step: Any
  params: Any
  average: Any
  momentum: Any


class Renamed(NamedTuple):
  """A field has another name."""

  step: Any
  weights: Any
  average: Any


@pytest.fixture(scope="module")
def before(tmp_path_factory):
  """A saved state whose two trees look alike: (checkpoints, state)."""
  draw = lambda seed: {"Dense_0": {"kernel": state(seed)["bias"].astype("f4")}}
  saved = Before(np.arange(M, dtype=np.int32), draw(1), draw(2))
  checkpoints = Checkpoints(tmp_path_factory.mktemp("before"))
  checkpoints.save(1, saved)
  return checkpoints, saved


def test_fields_in_another_order_are_read_right(before):
  checkpoints, saved = before
  wanted = Moved(saved.step, saved.average, saved.params)
  _, stored = checkpoints.latest(jax.eval_shape(lambda: wanted))
  assert isinstance(stored, Moved)
  assert not np.array_equal(*map(jax.tree.leaves, saved[1:]))
  jax.tree.map(np.testing.assert_array_equal, stored, wanted)


@pytest.mark.parametrize(
  ("wanted", "message"),
  [
    (
      lambda s: More(*s, momentum=s.step),
      r"\(momentum is absent there and int32\[6\] here\); name",
    ),
    (
      lambda s: Renamed(*s),
      r"kernel is float32\[6, 7\] there and absent here; weights",
    ),
    (
      lambda s: s._replace(step=s.step.astype(np.float32)),
      r"\(step is int32\[6\] there and float32\[6\] here\)",
    ),
    (
      lambda s: s._replace(step=s.step[:4]),
      r"\(step is int32\[6\] there and int32\[4\] here\)",
    ),
  ],
)
def test_another_state_is_refused_in_one_line(before, wanted, message):
  checkpoints, saved = before
  with pytest.raises(UserError, match=f"holds another state .*{message}") as e:
    checkpoints.latest(jax.eval_shape(lambda: wanted(saved)))
  assert "\n" not in str(e.value)


def test_which_epochs_are_due(tmp_path):
  def due(last, **options):
    checkpoints = Checkpoints(tmp_path, **options)
    return [e for e in range(last + 1) if checkpoints.due(e, last)]

  assert due(7, every=3) == [3, 6, 7]
  assert due(6, every=3, keep_all=True) == [0, 3, 6]
  assert due(3, every=1, keep_all=True) == [0, 1, 2, 3]
