"""What random selection can leak: a canary that is seen, and no other."""

import jax
import numpy as np
import pytest
import small

from syndata_jax import attack, data, models, paradigms
from syndata_jax.attack.selection import selection
from syndata_jax.ensemble import Workspace
from syndata_jax.paradigms import coreset

MODELS, CANARIES, SIZE, FPR = 32, 1000, 3000, 0.001


def chosen_at_random(fraction, folder):
  """The paradigm's own choice: (membership, selected), both bool[Q,M]."""
  labels = np.random.default_rng(0).integers(0, 3, SIZE).astype(np.int32)
  split = data.make_split(labels, CANARIES, MODELS, 3, "mislabelled", 0)
  private = paradigms.Private(
    np.zeros((SIZE, 8, 8, 1), np.uint8), split.labels, split.members, 3
  )
  engine = small.engine(MODELS, devices=jax.devices()[:1])
  network = models.create("convnet", 3, width=2, depth=1)
  options = coreset.Options(method="random", fraction=fraction)
  paradigm = paradigms.create(
    "coreset", engine._replace(model=network), options, private
  )
  training_set = paradigm.synthesize(
    jax.random.key(0), private, Workspace(folder)
  )
  rows = training_set.chosen
  selected = [np.isin(split.canary_index, each) for each in rows]
  return split.membership, np.stack(selected, axis=1)


@pytest.mark.parametrize("fraction", [0.1, 0.4])
def test_random_selection_leaks_its_fraction(fraction, tmp_path):
  """At worst: the selected stand out in full, the others not at all."""
  membership, kept = chosen_at_random(fraction, tmp_path)
  noise = np.random.default_rng(1).normal(size=membership.shape)
  scores = noise + 100 * kept  # as of a target: high where it was learnt
  leaked = attack.tpr_at_fpr(scores, membership, FPR)
  # A canary's selection is a draw: three deviations of its share.
  spread = 3 * np.sqrt(fraction * (1 - fraction) / membership.sum())
  assert abs(leaked - fraction) < spread + FPR
  apart = selection(scores, membership, kept)
  assert apart["selected"][str(FPR)] == 1
  assert apart["unselected"][str(FPR)] < 3 * FPR
  assert apart["unselected"]["0.05"] == pytest.approx(0.05, abs=0.01)  # chance
  np.testing.assert_allclose(apart["share"], fraction, atol=0.1)

  # LiRA fits one normal distribution to members of two kinds, so it may find
  # less than there is, never more.
  ratio = attack.lira(scores[..., None], membership)
  found = attack.tpr_at_fpr(ratio, membership, FPR)
  assert found < fraction + spread + 2 * FPR
  apart = selection(ratio, membership, kept)
  assert apart["unselected"][str(FPR)] < 5 * FPR
  if fraction == 0.4:  # of 15 others some are nearly always selected
    assert found > 0.99 * fraction
    assert apart["selected"][str(FPR)] > 0.99
