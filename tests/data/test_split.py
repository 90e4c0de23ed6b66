"""The audit design: balance, prefixes, members, labels, errors, files."""

import re

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from syndata_jax import files
from syndata_jax.data import (
  load_split,
  make_coin_split,
  make_split,
  save_split,
)
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


def assert_equal(loaded, expected):
  for ours, theirs in zip(loaded, expected, strict=True):
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
  "split",
  [
    split_of(),
    split_of(num_average=4, kind="blank"),
    make_coin_split(LABELS, 7, 5, "mislabelled", 0, 3),
  ],
)
def test_a_saved_split_comes_back(tmp_path, split):
  for name in ("a.npz", "b.npz", "a.npz"):
    save_split(tmp_path / name, split)
  first, second = sorted(tmp_path.iterdir())
  assert (first.name, second.name) == ("a.npz", "b.npz")
  assert first.read_bytes() == second.read_bytes()
  assert_equal(load_split(first), split)


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / "split.npz"
  save_split(path, split_of())
  before = path.read_bytes()

  def fail(*args):
    raise OSError("disk full")

  with monkeypatch.context() as patch:
    patch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
      save_split(path, split_of(seed=1))
  assert path.read_bytes() == before
  assert [p.name for p in tmp_path.iterdir()] == ["split.npz"]


def refusal(path):
  """The message of the refusal, which is one line that names the file."""
  with pytest.raises(UserError) as caught:
    load_split(path)
  message = str(caught.value)
  assert message.startswith(f"{path}: ") and "\n" not in message
  return message.removeprefix(f"{path}: ")


def test_a_split_that_cannot_be_read_is_named(tmp_path):
  path = tmp_path / "split.npz"
  assert refusal(path).startswith("No such file")
  save_split(path, split_of(num_average=4))
  whole = path.read_bytes()
  for length in range(0, len(whole), 61):
    path.write_bytes(whole[:length])
    assert refusal(path).startswith("damaged, or not an .npz archive")
  random = np.random.default_rng(0)
  refused = 0
  for place in random.integers(0, len(whole), 200):
    damaged = bytearray(whole)
    damaged[place] ^= 1 << random.integers(8)
    path.write_bytes(damaged)
    try:
      loaded = load_split(path)
    except UserError:
      refused += 1
    else:
      assert_equal(loaded, split_of(num_average=4))
  assert refused > 100


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"canary_index": None}, "canary_index is missing: must hold canary_i"),
    (
      {"labels": np.zeros(60)},
      r"labels is float64\[60\]: must be 1-dimensional int32",
    ),
    (
      {"membership": np.zeros(10, bool)},
      r"membership is bool\[10\]: must be 2-dimensional bool",
    ),
    (
      {"membership": np.zeros((9, 4), bool)},
      r"membership has shape \[9, 4\]: must be \[10, 4\]",
    ),
    (
      {"average_membership": np.zeros((4, 5), bool)},
      r"average_membership has shape \[4, 5\]: must be \[4, 4\]",
    ),
    (
      {"canary_index": np.arange(-1, 9, dtype=np.int32)},
      r"canary_index spans -1\.\.8: must lie in 0\.\.59",
    ),
    (
      {"labels": np.zeros(9, np.int32)},
      r"canary_index spans \d+\.\.\d+: must lie in 0\.\.8",
    ),
    ({"members": np.zeros((4, 53), np.int32)}, "members are not those that"),
    ({"members": np.zeros((4, 3), np.int32)}, "members are not those that"),
    ({"membership": np.ones((10, 4), bool)}, "members are not those that"),
  ],
)
def test_arrays_that_do_not_fit_together_are_refused(
  tmp_path, changes, message
):
  path = tmp_path / "split.npz"
  arrays = split_of(num_average=4)._asdict() | changes
  np.savez(path, **{k: a for k, a in arrays.items() if a is not None})
  assert re.match(message, refusal(path))
