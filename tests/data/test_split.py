"""The audit design: balance, prefixes, members, labels, errors."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from syndata_jax.data import make_coin_split, make_split
from syndata_jax.data.split import KINDS
from syndata_jax.errors import UserError

LABELS = np.arange(60) % 5


def split_of(**changes):
  arguments = dict(
    labels=LABELS,
    num_canaries=10,
    num_models=4,
    num_classes=5,
    kind="mislabelled",
    seed=0,
  )
  return make_split(**(arguments | changes))


designs = dict(
  half_canaries=st.integers(1, 15),
  half_average=st.integers(0, 15),
  half_models=st.integers(1, 8),
  kind=st.sampled_from(KINDS),
  seed=st.integers(0, 2**32),
)


@settings(max_examples=80, deadline=None)
@given(**designs)
def test_bi_regular_and_members_follow(
  half_canaries, half_average, half_models, kind, seed
):
  split = split_of(
    num_canaries=2 * half_canaries,
    num_average=2 * half_average,
    num_models=2 * half_models,
    kind=kind,
    seed=seed,
  )
  assert (split.membership.sum(0) == half_canaries).all()
  assert (split.membership.sum(1) == half_models).all()
  assert (split.average_membership.sum(0) == half_average).all()
  assert (split.average_membership.sum(1) == half_models).all()
  audited = np.concatenate([split.canary_index, split.average_index])
  both = np.concatenate([split.membership, split.average_membership])
  assert len(set(audited)) == 2 * (half_canaries + half_average)
  for model, members in enumerate(split.members):
    out = {
      int(i)
      for i, inside in zip(audited, both[:, model], strict=True)
      if not inside
    }
    assert members.tolist() == sorted(set(range(60)) - out)
  assert split.members.dtype == split.labels.dtype == np.int32


@settings(max_examples=80, deadline=None)
@given(**designs, fewer=st.integers(1, 15), fewer_average=st.integers(0, 15))
def test_a_smaller_audit_is_a_prefix(
  half_canaries,
  half_average,
  half_models,
  kind,
  seed,
  fewer,
  fewer_average,
):
  def build(canaries, average):
    return split_of(
      num_canaries=2 * canaries,
      num_average=2 * average,
      num_models=2 * half_models,
      kind=kind,
      seed=seed,
    )

  large = build(half_canaries, half_average)
  small = build(min(fewer, half_canaries), min(fewer_average, half_average))
  q, v = len(small.canary_index), len(small.average_index)
  canaries = small.canary_index
  np.testing.assert_array_equal(canaries, large.canary_index[:q])
  np.testing.assert_array_equal(small.labels[canaries], large.labels[canaries])
  np.testing.assert_array_equal(small.membership, large.membership[:q])
  np.testing.assert_array_equal(small.average_index, large.average_index[:v])
  np.testing.assert_array_equal(
    small.average_membership, large.average_membership[:v]
  )


def test_every_half_of_the_models_is_as_likely():
  split = split_of(
    labels=np.zeros(12_000, int), num_canaries=12_000, kind="clean"
  )
  for rows in (split.membership[::2], split.membership[1::2]):
    _, counts = np.unique(rows @ [1, 2, 4, 8], return_counts=True)
    assert len(counts) == 6
    assert scipy.stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize(
  ("kind", "allowed"), [("mislabelled", range(1, 5)), ("blank", range(5))]
)
def test_drawn_labels_are_uniform(kind, allowed):
  labels = np.arange(20_000) % 5
  split = split_of(labels=labels, num_canaries=20_000, kind=kind)
  for label in range(5):
    distance = (split.labels - labels)[labels == label] % 5
    counts = np.bincount(distance, minlength=5)
    assert np.flatnonzero(counts).tolist() == list(allowed)
    assert scipy.stats.chisquare(counts[list(allowed)]).pvalue > 1e-4


def coin_split_of(**changes):
  arguments = dict(
    labels=LABELS, num_canaries=11, num_classes=5, kind="mislabelled", seed=0
  )
  return make_coin_split(**(arguments | changes))


def test_a_coin_split_has_one_model_and_the_examples_of_the_other_split():
  coins = coin_split_of(num_average=7)
  assert coins.membership.shape == (11, 1)
  assert coins.average_membership.shape == (7, 1)
  out = np.concatenate(
    [
      coins.canary_index[~coins.membership[:, 0]],
      coins.average_index[~coins.average_membership[:, 0]],
    ]
  )
  members = np.setdiff1d(np.arange(60), out)
  np.testing.assert_array_equal(coins.members, members[None])
  assert coins.members.dtype == np.int32
  shadows = split_of(num_canaries=12, num_average=8)
  canaries = shadows.canary_index[:11]
  np.testing.assert_array_equal(coins.canary_index, canaries)
  np.testing.assert_array_equal(coins.average_index, shadows.average_index[:7])
  np.testing.assert_array_equal(
    coins.labels[canaries], shadows.labels[canaries]
  )


def test_coins_of_a_smaller_audit_are_a_prefix():
  small, large = coin_split_of(), coin_split_of(num_canaries=30, num_average=9)
  np.testing.assert_array_equal(small.membership, large.membership[:11])
  other = coin_split_of(num_canaries=30, seed=1)
  assert (other.membership != large.membership).any()


def test_coins_are_fair_and_independent():
  coins = coin_split_of(
    labels=np.zeros(40_000, int),
    num_canaries=20_000,
    num_average=20_000,
    kind="clean",
  )
  for column in (coins.membership[:, 0], coins.average_membership[:, 0]):
    # Three neighbours at a time: eight outcomes, each as likely.
    triples = column[:19_998].reshape(-1, 3) @ [1, 2, 4]
    counts = np.bincount(triples, minlength=8)
    assert scipy.stats.chisquare(counts).pvalue > 1e-4
  both = coins.membership[:, 0] * 2 + coins.average_membership[:, 0]
  assert scipy.stats.chisquare(np.bincount(both)).pvalue > 1e-4


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"num_canaries": 1}, "num_canaries=1: must be at least 2"),
    ({"num_average": 1}, "num_average=1: must be at least 2"),
    ({"num_average": -1}, "num_average=-1: must be at least 2"),
    ({"num_canaries": 10**12}, "must be at most 60 together"),
    ({"kind": "noisy"}, "canary_kind='noisy': must be one of mislabelled, "),
  ],
)
def test_a_mistake_in_a_coin_split_names_its_field(changes, message):
  with pytest.raises(UserError, match=message):
    coin_split_of(**changes)


def test_coins_that_fell_alike_are_refused():
  refused = 0
  for seed in range(30):
    try:
      split = coin_split_of(num_canaries=2, seed=seed)
    except UserError as error:
      assert str(error).startswith("num_canaries=2: all coins fell alike")
      refused += 1
    else:
      assert split.membership.sum() == 1
  assert 5 < refused < 25


@pytest.mark.parametrize("kind", KINDS)
def test_only_canaries_are_relabelled(kind):
  split = split_of(kind=kind, num_average=20)
  others = np.setdiff1d(np.arange(60), split.canary_index)
  np.testing.assert_array_equal(split.labels[others], LABELS[others])
  if kind in ("clean", "out_of_distribution"):
    np.testing.assert_array_equal(split.labels, LABELS)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"num_models": 7}, "num_models=7: must be even and at least 2"),
    ({"num_models": 0}, "num_models=0: must be"),
    ({"num_canaries": 9}, "num_canaries=9: must be"),
    ({"num_canaries": 0}, "num_canaries=0: must be even and at least 2"),
    ({"num_average": 3}, "num_average=3: must be"),
    ({"num_average": -2}, "num_average=-2: must be"),
    ({"num_canaries": 50, "num_average": 12}, "must be at most 60"),
    ({"kind": "noisy"}, "canary_kind='noisy': must be one of mislabelled, "),
    ({"num_classes": 1}, "num_classes=1: must be"),
    ({"num_classes": 4}, "labels spans 0..4: must lie in 0..3"),
  ],
)
def test_a_mistake_names_its_field(changes, message):
  with pytest.raises(UserError, match=message):
    split_of(**changes)
