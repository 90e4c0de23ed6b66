"""The share of canaries in a model's data, counted in a split."""

import numpy as np
import pytest

from syndata_jax.data import make_split
from syndata_jax.data.shares import shares


@pytest.mark.parametrize(("canaries", "average"), [(2, 0), (20, 10), (40, 60)])
def test_shares_are_those_of_every_model(canaries, average):
  split = make_split(np.arange(200) % 4, canaries, 6, 4, "clean", 0, average)
  part = shares(canaries, average, split.members.shape[1])
  for members in split.members:
    is_canary = np.isin(members, split.canary_index)
    is_average = np.isin(members, split.average_index)
    assert part.canaries == pytest.approx(is_canary.mean())
    assert part.audited == pytest.approx((is_canary | is_average).mean())


def test_more_than_a_twentieth_is_too_many():
  assert not shares(100, 400, 1000).too_many_canaries
  assert shares(102, 0, 1000).too_many_canaries
