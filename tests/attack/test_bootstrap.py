"""Weighted figures against tables whose rows and columns are repeated."""

import numpy as np
import pytest

from syndata_jax.attack import (
  FPR_LEVELS,
  auc,
  balanced_accuracy,
  bootstrap,
  tpr_at_fpr,
)


def _figures(scores, membership):
  levels = [tpr_at_fpr(scores, membership, level) for level in FPR_LEVELS]
  rest = [auc(scores, membership), balanced_accuracy(scores, membership)]
  return np.array(levels + rest)


def _table(rng, examples, models, decimals=17):
  membership = rng.permuted(
    np.tile(np.arange(models) < models // 2, (examples, 1)), axis=1
  )
  scores = rng.normal(1.5 * membership) + rng.normal(size=(examples, 1))
  return np.round(scores, decimals), membership


@pytest.mark.parametrize("decimals", [0, 1, 17])
def test_equals_the_figures_of_repeated_rows_and_columns(decimals):
  rng = np.random.default_rng(decimals)
  scores, membership = _table(rng, 40, 10, decimals)
  draws = bootstrap.draw(40, 10, 60, rng)
  replicates = bootstrap.replicates(scores, membership, draws)
  repeated = []
  for examples, models in zip(*draws, strict=True):
    rows = np.repeat(np.arange(40), examples)
    columns = np.repeat(np.arange(10), models)
    cells = np.ix_(rows, columns)
    repeated.append(_figures(scores[cells], membership[cells]))
  np.testing.assert_allclose(replicates, repeated)
  figures = bootstrap.figures(scores, membership)
  np.testing.assert_allclose(figures, _figures(scores, membership))


def test_draws_rows_and_columns_with_replacement():
  draws = bootstrap.draw(50, 8, 4_000, np.random.default_rng(0))
  assert draws.examples.shape == (4_000, 50)
  assert draws.models.shape == (4_000, 8)
  for counts in draws:
    size = counts.shape[1]
    assert (counts.sum(axis=1) == size).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.1)
    np.testing.assert_allclose(counts.var(axis=0), 1 - 1 / size, atol=0.15)


def test_replicates_without_both_classes_are_left_out():
  # Each example is a member of all models or of none: a replicate that draws
  # one kind alone has no curve.
  membership = np.array([[True] * 3, [False] * 3])
  scores = np.arange(6.0).reshape(2, 3)
  examples = np.array([[2, 0], [1, 1], [0, 2]], np.int32)
  draws = bootstrap.Draws(examples, np.ones((3, 3), np.int32))
  replicates = bootstrap.replicates(scores, membership, draws)
  assert len(replicates) == 1
  useless = bootstrap.Draws(examples[:1], draws.models[:1])
  with pytest.raises(ValueError, match="draw more"):
    bootstrap.replicates(scores, membership, useless)


def test_refuses_draws_of_another_table():
  rng = np.random.default_rng(3)
  scores, membership = _table(rng, 6, 8)
  draws = bootstrap.draw(8, 6, 5, rng)
  with pytest.raises(ValueError, match=r"draws are for \(8, 6\)"):
    bootstrap.replicates(scores, membership, draws)
