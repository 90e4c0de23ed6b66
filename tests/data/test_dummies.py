"""Dummy canaries: made and dealt as canaries are, and nobody's members."""

import hashlib

import numpy as np
import pytest
import scipy.stats

from syndata_jax.data import (
  add_dummies,
  dummy_images,
  make_coin_split,
  make_split,
  outside_images,
  plant,
)
from syndata_jax.data.split import KINDS
from syndata_jax.errors import UserError

LABELS = np.arange(60) % 5
TEST_LABELS = np.arange(40) * 3 % 5
IMAGES = np.random.default_rng(0).integers(0, 256, (60, 6, 7, 3), np.uint8)
TEST_IMAGES = np.random.default_rng(1).integers(0, 256, (40, 6, 7, 3), np.uint8)


def split_of(num_canaries=10, kind="mislabelled", seed=7, num_models=4):
  return make_split(LABELS, num_canaries, num_models, 5, kind, seed, 6)


def coins_of(num_canaries=11, kind="mislabelled", seed=7):
  return make_coin_split(LABELS, num_canaries, 5, kind, seed, 5)


def dealt(split, kind="mislabelled", seed=7, labels=TEST_LABELS, most=None):
  return add_dummies(split, labels, 5, kind, seed, most)


@pytest.mark.parametrize(
  ("kind", "shadows", "coins"),
  [
    ("mislabelled", "49bf9b8e2da3f786", "700a88665e962c66"),
    ("clean", "1d765ba8f68470a5", "e55e047bc561aaa2"),
    ("blank", "7e83203741641ad0", "2a848ca8d5e250b6"),
    ("out_of_distribution", "1d765ba8f68470a5", "e55e047bc561aaa2"),
  ],
)
def test_the_draws_of_a_seed_are_those_of_version_0_2(kind, shadows, coins):
  """Before there were dummies: published runs must come out the same."""
  for split, expected in (
    (split_of(kind=kind), shadows),
    (coins_of(kind=kind), coins),
  ):
    digest = hashlib.sha256()
    for array in dealt(split, kind)[:6]:
      digest.update(np.ascontiguousarray(array).tobytes())
    assert digest.hexdigest()[:16] == expected


@pytest.mark.parametrize("num_models", [2, 4, 12])
def test_dummies_are_dealt_as_canaries_are(num_models):
  split = split_of(num_models=num_models)
  membership = dealt(split).dummy_membership
  assert membership.shape == split.membership.shape
  assert (membership.sum(0) == 5).all()
  assert (membership.sum(1) == num_models / 2).all()
  if num_models > 2:
    assert (membership != split.membership).any()
    assert (membership != dealt(split, seed=8).dummy_membership).any()


def test_every_half_of_the_models_is_as_likely_and_no_canary_tells():
  labels = np.zeros(12_000, int)
  split = make_split(labels, 12_000, 4, 5, "clean", 0)
  split = add_dummies(split, labels, 5, "clean", 0)
  codes = split.dummy_membership @ [1, 2, 4, 8]
  for rows in (codes[::2], codes[1::2]):
    _, counts = np.unique(rows, return_counts=True)
    assert len(counts) == 6
    assert scipy.stats.chisquare(counts).pvalue > 1e-4
  canaries = split.membership @ [1, 2, 4, 8]
  table = np.zeros((16, 16))
  np.add.at(table, (canaries[::2], codes[::2]), 1)
  table = table[table.any(1)][:, table.any(0)]
  assert scipy.stats.chi2_contingency(table).pvalue > 1e-4


def test_with_one_model_coins_decide():
  labels = np.zeros(20_000, int)
  split = make_coin_split(labels, 20_000, 5, "clean", 0)
  split = add_dummies(split, labels, 5, "clean", 0)
  assert split.dummy_membership.shape == (20_000, 1)
  both = split.membership[:, 0] * 2 + split.dummy_membership[:, 0]
  assert scipy.stats.chisquare(np.bincount(both)).pvalue > 1e-4
  assert len(dealt(coins_of()).dummy_index) == 11  # odd is allowed


@pytest.mark.parametrize("kind", KINDS)
def test_labels_by_the_rule_of_the_kind(kind):
  labels = np.arange(20_000) % 5
  split = make_split(labels, 20_000, 2, 5, kind, 0)
  split = add_dummies(split, labels, 5, kind, 0)
  assert len(set(split.dummy_index.tolist())) == 20_000
  distance = (split.dummy_labels - labels[split.dummy_index]) % 5
  counts = np.bincount(distance, minlength=5)
  allowed = {"mislabelled": range(1, 5), "blank": range(5)}.get(kind, [0])
  assert np.flatnonzero(counts).tolist() == list(allowed)
  if len(allowed) > 1:
    assert scipy.stats.chisquare(counts[list(allowed)]).pvalue > 1e-4
  assert split.dummy_index.dtype == split.dummy_labels.dtype == np.int32


@pytest.mark.parametrize(
  ("num_test", "most", "shadows", "coins"),
  [
    (40, None, 10, 11),
    (9, None, 8, 9),
    (40, 5, 4, 5),
    (7, None, 6, 7),
    (1, None, 0, 0),
    (40, 0, 0, 0),
    (40, 1, 0, 0),
  ],
)
def test_as_many_as_the_test_images_allow(num_test, most, shadows, coins):
  labels = TEST_LABELS[:num_test]
  for split, count in ((split_of(), shadows), (coins_of(), coins)):
    with_dummies = dealt(split, labels=labels, most=most)
    assert with_dummies.dummy_index.shape == (count,)
    assert with_dummies.dummy_labels.shape == (count,)
    models = split.membership.shape[1]
    assert with_dummies.dummy_membership.shape == (count, models)
    if count:
      assert with_dummies.dummy_index.max() < num_test


def test_coins_of_a_few_that_fell_alike_leave_none():
  counts = set()
  for seed in range(40):
    split = make_coin_split(LABELS, 20, 5, "clean", seed)
    split = dealt(split, "clean", seed, labels=TEST_LABELS[:2])
    counts.add(len(split.dummy_index))
    if len(split.dummy_index):
      assert split.dummy_membership.sum() == 1
  assert counts == {0, 2}


@pytest.mark.parametrize("make", [split_of, coins_of])
def test_a_smaller_audit_has_the_first_dummies(make):
  small, large = dealt(make(4)), dealt(make(20))
  for name in ("dummy_index", "dummy_labels", "dummy_membership"):
    first = getattr(large, name)[:4]
    np.testing.assert_array_equal(getattr(small, name), first)


@pytest.mark.parametrize("kind", ["mislabelled", "clean"])
def test_images_that_are_the_test_images(kind):
  split = dealt(split_of(kind=kind), kind)
  images = dummy_images(TEST_IMAGES, split, kind, 0)
  np.testing.assert_array_equal(images, TEST_IMAGES[split.dummy_index])


def test_blank_dummies_have_colours_of_their_own():
  before = TEST_IMAGES.copy()
  split = dealt(split_of(20, "blank"), "blank")
  images = dummy_images(TEST_IMAGES, split, "blank", 0)
  np.testing.assert_array_equal(TEST_IMAGES, before)
  assert images.shape == (20, 6, 7, 3) and images.dtype == np.uint8
  assert (images == images[:, :1, :1]).all()
  canaries = plant(IMAGES, split, "blank", 0)[split.canary_index]
  both = np.concatenate([images, canaries])[:, 0, 0]
  assert len(np.unique(both, axis=0)) == 40


def test_dummies_from_elsewhere_are_no_canaries():
  kind = "out_of_distribution"
  split = dealt(split_of(kind=kind), kind)
  outside = outside_images(10, (6, 7, 3), 0, spare=10)
  np.testing.assert_array_equal(outside[:10], outside_images(10, (6, 7, 3), 0))
  images = dummy_images(TEST_IMAGES, split, kind, 0, outside)
  np.testing.assert_array_equal(images, outside[10:])
  assert len(np.unique(outside.reshape(20, -1), axis=0)) == 20
  for wrong in (None, outside[:19], outside[:, :5]):
    with pytest.raises(UserError, match="must"):
      dummy_images(TEST_IMAGES, split, kind, 0, wrong)


def test_a_source_may_have_too_few_for_all_dummies():
  images = outside_images(1400, (8, 8, 1), 0, source="digits", spare=1400)
  assert len(images) == 1437
  few = outside_images(1400, (8, 8, 1), 0, source="digits")
  np.testing.assert_array_equal(images[:1400], few)
