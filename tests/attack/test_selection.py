"""Members apart, by whether their model learned from them."""

import json

import numpy as np
import pytest

from syndata_jax.attack import load_predictions
from syndata_jax.attack.selection import selection
from syndata_jax.errors import UserError


def example():
  """20 x 50; only selected members leak, and those always."""
  rng = np.random.default_rng(0)
  membership = rng.permuted(np.tile(np.arange(50) < 25, (20, 1)), axis=1)
  selected = membership & (rng.random(membership.shape) < 0.4)
  scores = rng.normal(size=membership.shape) + 100 * selected
  return scores, membership, selected


def test_what_leaks_is_what_was_selected():
  scores, membership, selected = example()
  record = selection(scores, membership, selected)
  np.testing.assert_allclose(
    record["share"],
    [
      np.mean([s for s, m in zip(chosen, is_member, strict=True) if m])
      for chosen, is_member in zip(selected.T, membership.T, strict=True)
    ],
  )
  assert record["selected"]["0.001"] == 1.0
  # The same distribution as the non-members': chance, give or take.
  members, others = scores[membership & ~selected], scores[~membership]
  threshold = np.sort(others)[-int(0.05 * others.size) - 1]
  by_hand = (members > threshold).mean()
  assert record["unselected"]["0.05"] == pytest.approx(by_hand)
  assert by_hand < 0.12


def test_a_model_that_owns_none_has_no_share():
  """As in coin designs with few canaries: 0 of 0 is no number."""
  membership = np.tile(np.arange(8) < 4, (3, 1))
  scores = np.random.default_rng(0).normal(size=(3, 8))
  record = selection(scores, membership, membership)
  assert record["share"] == [1.0] * 4 + [None] * 4
  none = selection(scores, membership, np.zeros_like(membership))
  assert none["share"] == [0.0] * 4 + [None] * 4 and none["selected"] is None
  # JSON knows no NaN.
  for written in (record, none):
    assert json.loads(json.dumps(written, allow_nan=False)) == written


def test_a_kind_of_which_there_are_none():
  scores, membership, _ = example()
  record = selection(scores, membership, membership)
  assert record["unselected"] is None and set(record["share"]) == {1.0}


def test_a_selected_non_member_is_refused(tmp_path):
  scores, membership, _ = example()
  with pytest.raises(ValueError, match="no member"):
    selection(scores, membership, ~membership)
  np.savez(
    tmp_path / "p.npz",
    logits=np.zeros((20, 50, 3), np.float32),
    labels=np.zeros(20, np.int32),
    membership=membership,
    selected=~membership,
  )
  with pytest.raises(UserError, match="selected is true for a non-member"):
    load_predictions(tmp_path / "p.npz")
