"""Which designs of membership are recognised, and what their coins are like."""

import itertools
import re

import numpy as np
import pytest
from scipy import stats
from variants import others_slow

from syndata_jax.attack import coins
from syndata_jax.data import make_coin_split, make_split


def _halves(generator, shape, axis=1):
  order = generator.random(shape).argsort(axis=axis).argsort(axis=axis)
  return order < shape[axis] // 2


def _tossed(generator, shape, share=0.5):
  return generator.random(shape) < share


def _pairs(heads):
  return np.stack([heads, ~heads], axis=1).reshape(-1, heads.shape[1])


@pytest.mark.parametrize("num_models", [2, 8, 32])
def test_the_split_of_an_audit_is_recognised(num_models):
  labels = np.arange(300) % 10
  for seed in range(20):
    split = make_split(labels, 100, num_models, 10, "mislabelled", seed)
    found = coins.recognise(split.membership)
    assert found.is_paired
    assert found.neighbours == "replace_one"
    assert found.premise == (
      "assumes that one of each pair of rows was put into a random half of the "
      "models, and the other into the rest"
    )
    np.testing.assert_array_equal(found.heads, split.membership[::2])
    assert (found.tested.sum(axis=1) == num_models // 2).all()
    np.testing.assert_array_equal(found.counted, found.tested)


def test_the_split_of_one_model_is_recognised():
  labels = np.arange(300) % 10
  for seed in range(20):
    split = make_coin_split(labels, 100, 10, "mislabelled", seed)
    found = coins.recognise(split.membership)
    assert found.neighbours == "add_or_remove_one"
    assert found.tested.all()
    assert found.premise == (
      "assumes that each example was included by a fair coin of its own"
    )


@pytest.mark.parametrize("models", others_slow([1, 8, 2, 32], 2))
@pytest.mark.parametrize("paired", [True, False])
def test_fair_coins_are_hardly_ever_refused(models, paired):
  generator = np.random.default_rng(models)
  refused = 0
  for _ in range(300):
    membership = _tossed(generator, (60, models))
    membership = _pairs(membership) if paired else membership
    found = coins.recognise(membership)
    refused += not found.tested.all()
    assert found.is_paired == paired
  assert refused <= 5


@pytest.mark.parametrize("models", [4, 16])
def test_halves_are_recognised_and_halved_again(models):
  generator = np.random.default_rng(1)
  for _ in range(20):
    rows = coins.recognise(_halves(generator, (61, models)))
    assert rows.neighbours == "add_or_remove_one"
    assert "random half of the models" in rows.premise
    assert (rows.tested.sum(axis=1) == models // 2).all()
    columns = coins.recognise(_halves(generator, (60, models), axis=0))
    assert columns.neighbours == "replace_one"
    assert "random half of the examples" in columns.premise
    assert (columns.tested.sum(axis=0) == 30).all()


def _exact_columns(generator, shape):
  """Complementary pairs in a random order of the rows."""
  return generator.permutation(
    _pairs(_halves(generator, (shape[0] // 2, shape[1])))
  )


@pytest.mark.parametrize(
  ("draw", "reason"),
  [
    (
      lambda g: _tossed(g, (400, 32), 0.45),
      r"\(45%\), which fair coins do not",
    ),
    (lambda g: _tossed(g, (400, 32), 0.8), "entries are members"),
    (lambda g: _tossed(g, (500, 1), 0.7), "entries are members"),
    (
      lambda g: _exact_columns(g, (400, 32)),
      "rows 2k and 2k . 1 are not pairs",
    ),
    # Rows of their own shares, half of all on average.
    (
      lambda g: g.random((400, 32)) < np.repeat([[0.2], [0.8]], 200, axis=0),
      "of the examples differ more than",
    ),
    # Models that train on more, models that train on less.
    (
      lambda g: g.random((400, 32)) < g.choice([0.4, 0.6], (1, 32)),
      "of the models differ more than|entries are members",
    ),
    # A random half of the models, but the same one for ten rows together.
    (
      lambda g: np.repeat(_halves(g, (40, 32)), 10, axis=0),
      "of the models differ more than",
    ),
    # 15 or 17 of 32.
    (
      lambda g: (
        g.random((400, 32)).argsort(1).argsort(1) < g.choice([15, 17], (400, 1))
      ),
      "of the examples differ less than",
    ),
    # The first of the pair is always the member.
    (
      lambda g: _pairs(np.ones((200, 1), bool)),
      "of 200 complementary pairs the first row is the member in 200",
    ),
    (
      lambda g: _pairs(_tossed(g, (200, 8), 0.7)),
      "complementary pairs the first row",
    ),
  ],
)
def test_other_designs_have_no_bound(draw, reason):
  for seed in range(5):
    found = coins.recognise(draw(np.random.default_rng(seed)))
    assert not found.tested.any()
    assert re.match(f"no bound: .*({reason})", found.premise), found.premise


def test_the_tested_half_of_a_row_is_independent_and_fair():
  """Given which four of eight models, all sixteen sequences are as likely."""
  generator = np.random.default_rng(2)
  membership = _halves(generator, (200_000, 8))
  found = coins.recognise(membership)
  sequences = membership[found.tested].reshape(-1, 4) @ [8, 4, 2, 1]
  sets = found.tested @ (1 << np.arange(8))
  table = stats.contingency.crosstab(sets, sequences).count
  assert table.shape == (70, 16)
  # Sets are drawn alike, and so are sequences, whatever the set.
  statistic, p_value = stats.chisquare(table.ravel())
  assert p_value > 1e-3, statistic


def test_four_coins_of_a_half_are_not():
  """The test above can fail: the first four models of each row."""
  membership = _halves(np.random.default_rng(3), (200_000, 8))
  counts = np.bincount(membership[:, :4] @ [8, 4, 2, 1], minlength=16)
  assert stats.chisquare(counts).pvalue < 1e-9


def test_references_do_not_tell_the_coin_of_the_target():
  """Of all rows that are half heads, as many have either coin."""
  target = 2
  rows = np.array(list(itertools.product([False, True], repeat=6)))
  rows = rows[rows.sum(axis=1) == 3]
  # All rows once: the column of the target is fair, by design.
  found = coins.recognise(rows, target)
  assert found.tested[:, target].all()
  assert found.tested.sum() == len(rows)
  assert not found.counted[:, target].any()
  told: dict = {}
  for row, counted in zip(rows, found.counted, strict=True):
    assert 2 * row[counted].sum() == counted.sum()
    seen = (*counted, *row[counted])
    told.setdefault(seen, []).append(row[target])
  for coins_of_target in told.values():
    assert np.mean(coins_of_target) == 0.5


def test_references_that_never_saw_an_example_all_count():
  membership = np.zeros((100, 5), bool)
  membership[:, 3] = np.random.default_rng(4).random(100) < 0.5
  found = coins.recognise(membership, 3)
  assert found.counted.sum(axis=0).tolist() == [100, 100, 100, 0, 100]
  assert found.tested.sum(axis=0).tolist() == [0, 0, 0, 100, 0]


def test_the_coins_of_the_target_must_be_fair():
  membership = np.random.default_rng(5).random((200, 6)) < [0.5] * 5 + [0.9]
  assert coins.recognise(membership, 0).tested.any()
  unfair = coins.recognise(membership, 5)
  assert not unfair.tested.any()
  assert unfair.premise.startswith("no bound: ")
