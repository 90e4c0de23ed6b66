"""Parts of checkpoints, and what is read for them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorstore

from syndata_jax.ensemble import Checkpoints

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
  found = tensorstore.experimental_collect_matching_metrics(name)
  return found[0]["values"][0]["value"]


def test_rows_are_those_that_were_saved(kept):
  rng = np.random.default_rng(2)
  for epoch in (1, 0):
    for leaf, want in enumerate(jax.tree.leaves(state(epoch))):
      index = rng.integers(0, M, 4)  # in any order, and more than once
      got = kept.rows(epoch, leaf, index)
      assert got.dtype == want.dtype
      np.testing.assert_array_equal(got, want[index])


def test_one_row_is_read_without_the_others(kept):
  names = sorted(state())  # as JAX orders the leaves of a dict
  leaf = names.index("kernel")
  kept.rows(0, leaf, np.array([0]))  # the file's own tables are read here
  own = state()["kernel"][0].nbytes
  for row in (3, 5):
    before = bytes_read()
    kept.rows(0, leaf, np.array([row]))
    assert own <= bytes_read() - before < 1.1 * own


def test_the_whole_state_comes_back(kept):
  epoch, found = kept.latest(jax.eval_shape(lambda: state()))
  assert epoch == 1
  jax.tree.map(np.testing.assert_array_equal, found, state(1))


def test_which_epochs_are_due(tmp_path):
  def due(last, **options):
    checkpoints = Checkpoints(tmp_path, **options)
    return [e for e in range(last + 1) if checkpoints.due(e, last)]

  assert due(7, every=3) == [3, 6, 7]
  assert due(6, every=3, keep_all=True) == [0, 3, 6]
  assert due(3, every=1, keep_all=True) == [0, 1, 2, 3]
