"""ROC figures against scikit-learn and against counting."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from syndata_jax.attack import (
  FPR_LEVELS,
  auc,
  balanced_accuracy,
  roc,
  roc_curve,
  tpr_at_fpr,
)


@st.composite
def _tables(draw):
  """Scores with many ties, or none, and membership with both classes."""
  size = draw(st.integers(2, 60))
  values = draw(st.sampled_from([1, 2, 5, 10_000]))
  numbers = st.integers(0, values - 1)
  scores = draw(st.lists(numbers, min_size=size, max_size=size))
  member = draw(st.lists(st.booleans(), min_size=size, max_size=size))
  member[:2] = True, False
  return np.array(scores, float), np.array(member)


def _check(scores, member):
  fpr, tpr, _ = metrics.roc_curve(member, scores, drop_intermediate=False)
  ours = roc_curve(scores, member)
  np.testing.assert_array_equal(ours.fpr, fpr)
  np.testing.assert_array_equal(ours.tpr, tpr)
  for level in (0, 0.1, 1 / 3, 0.5, 1, *FPR_LEVELS):
    assert tpr_at_fpr(scores, member, level) == tpr[fpr <= level].max()
  expected = metrics.roc_auc_score(member, scores)
  assert auc(scores, member) == pytest.approx(expected, abs=1e-12)
  best = ((tpr + 1 - fpr) / 2).max()
  assert balanced_accuracy(scores, member) == pytest.approx(best, abs=1e-12)


@settings(max_examples=150, deadline=None)
@given(_tables())
def test_equals_scikit_learn(table):
  _check(*table)


@pytest.mark.parametrize("decimals", [0, 1, 2, 17])
def test_equals_scikit_learn_at_full_size(decimals):
  rng = np.random.default_rng(decimals)
  member = rng.permutation(np.arange(16_000) < 8_000)
  _check(np.round(rng.normal(1.0 * member), decimals), member)


@settings(max_examples=50, deadline=None)
@given(_tables(), st.randoms(use_true_random=False))
def test_the_order_in_memory_does_not_matter(table, random):
  scores, member = table
  order = list(range(len(scores)))
  random.shuffle(order)
  ours, again = (
    roc_curve(scores, member),
    roc_curve(scores[order], member[order]),
  )
  np.testing.assert_array_equal(ours.fpr, again.fpr)
  np.testing.assert_array_equal(ours.tpr, again.tpr)


@settings(max_examples=50, deadline=None)
@given(_tables())
def test_auc_is_the_chance_to_rank_a_pair_correctly(table):
  scores, member = table
  gap = scores[member][:, None] - scores[~member]
  expected = np.mean((gap > 0) + (gap == 0) / 2)
  assert auc(scores, member) == pytest.approx(expected, abs=1e-12)


def test_tied_scores_enter_together():
  member = np.arange(100) < 50
  constant = np.zeros(100)
  np.testing.assert_array_equal(roc_curve(constant, member), [[0, 1], [0, 1]])
  assert tpr_at_fpr(constant, member, 0.999) == 0
  assert auc(constant, member) == 0.5
  assert balanced_accuracy(constant, member) == 0.5


def test_eight_false_positives_of_8000_are_allowed_at_a_permille():
  member = np.repeat([True, False, True, False], [10, 8, 7_990, 7_992])
  scores = -np.arange(16_000.0)
  assert tpr_at_fpr(scores, member, 0.001) == 1
  scores[[17, 18]] = scores[[18, 17]]
  assert tpr_at_fpr(scores, member, 0.001) == 1
  one_more = np.repeat([True, False, True, False], [10, 9, 7_990, 7_991])
  assert tpr_at_fpr(scores, one_more, 0.001) == 10 / 8_000


def test_takes_tables_of_any_shape():
  rng = np.random.default_rng(0)
  scores, member = rng.normal(size=(6, 8)), rng.random((6, 8)) < 0.5
  np.testing.assert_array_equal(
    roc_curve(scores, member), roc_curve(scores.ravel(), member.ravel())
  )


@pytest.mark.parametrize("function", [roc_curve, auc, balanced_accuracy])
@pytest.mark.parametrize(
  "scores, member, message",
  [
    ([1, 2, 3], [True, False], "same shape needed"),
    ([1, np.nan], [True, False], "not finite"),
    ([1, 2], [True, True], "2 members among 2"),
    ([1, 2], [False, False], "0 members among 2"),
    ([], [], "0 members among 0"),
  ],
)
def test_refuses_what_has_no_curve(function, scores, member, message):
  with pytest.raises(ValueError, match=message):
    function(np.array(scores), np.array(member, bool))


@pytest.mark.parametrize(
  ("fpr", "rule"),
  [(-0.1, r"in \[0, 1\]"), (1.1, r"in \[0, 1\]"), (np.nan, "finite")],
)
def test_fpr_is_a_fraction(fpr, rule):
  with pytest.raises(ValueError, match=f"fpr={fpr}: must be {rule}"):
    tpr_at_fpr(np.arange(2), np.array([True, False]), fpr)


@pytest.mark.parametrize(
  ("fpr", "nonmembers"),
  [(0.001, 3200), (0.001, 8000), (0.001, 999), (0.01, 40), (0.05, 100)],
)
def test_chance_is_what_scores_of_nothing_give_on_average(fpr, nonmembers):
  rng = np.random.default_rng(0)
  audits, members = 1_000, 200
  member = np.arange(nonmembers + members) < members
  found = [
    tpr_at_fpr(rng.random(len(member)), member, fpr) for _ in range(audits)
  ]
  error = np.std(found) / np.sqrt(audits)
  assert abs(roc.chance(fpr, nonmembers) - np.mean(found)) < 4 * error


@pytest.mark.parametrize("fpr", [0.0, 0.001, 0.01, 0.05, 0.3])
@pytest.mark.parametrize("size", [7, 40, 1000])
def test_the_threshold_is_where_the_rate_is_read(fpr, size):
  rng = np.random.default_rng(size)
  scores, member = (
    rng.normal(size=(2, size)).round(1),
    np.zeros((2, size), bool),
  )
  member[0] = True
  hits = scores[0] > roc.threshold(scores[1], fpr)
  assert hits.mean() == tpr_at_fpr(scores, member, fpr)
