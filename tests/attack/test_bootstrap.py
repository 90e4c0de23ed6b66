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


def _flat(result):
  records = [*result["tpr_at_fpr"].values()]
  records += [result["auc"], result["balanced_accuracy"]]
  return {
    name: np.array([record[name] for record in records])
    for name in ("value", "low", "high")
  }


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
  result = _flat(bootstrap.intervals(scores, membership, draws))
  repeated = []
  for examples, models in zip(*draws, strict=True):
    rows = np.repeat(np.arange(40), examples)
    columns = np.repeat(np.arange(10), models)
    cells = np.ix_(rows, columns)
    repeated.append(_figures(scores[cells], membership[cells]))
  low, high = np.quantile(repeated, [0.025, 0.975], axis=0)
  np.testing.assert_allclose(result["value"], _figures(scores, membership))
  np.testing.assert_allclose(result["low"], low)
  np.testing.assert_allclose(result["high"], high)


def test_draws_rows_and_columns_with_replacement():
  draws = bootstrap.draw(50, 8, 4_000, np.random.default_rng(0))
  assert draws.examples.shape == (4_000, 50)
  assert draws.models.shape == (4_000, 8)
  for counts in draws:
    size = counts.shape[1]
    assert (counts.sum(axis=1) == size).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.1)
    np.testing.assert_allclose(counts.var(axis=0), 1 - 1 / size, atol=0.15)


def test_shared_models_widen_the_interval():
  # One score per model, the same for all examples: 200 x 12 scores, but only
  # 12 independent ones.
  rng = np.random.default_rng(1)
  membership = np.tile(np.arange(12) % 2 == 0, (200, 1))
  shared = np.tile(rng.normal(size=12), (200, 1))
  apart = rng.normal(size=(200, 12))
  draws = bootstrap.draw(200, 12, 200, rng)

  def width(scores):
    figure = bootstrap.intervals(scores, membership, draws)["auc"]
    return figure["high"] - figure["low"]

  assert width(shared) > 5 * width(apart)


def test_the_interval_of_the_auc_covers_the_truth():
  # Scores with an effect of the example, of the model and of the pair; a
  # member's scores are higher by 1, so AUC = Phi(1 / sqrt(2 * 3)).
  rng = np.random.default_rng(2)
  truth, covered = 0.6585, []
  for _ in range(100):
    membership = _table(rng, 40, 16)[1]
    scores = sum(rng.normal(size=s) for s in [(40, 1), (1, 16), (40, 16)])
    draws = bootstrap.draw(40, 16, 100, rng)
    figure = bootstrap.intervals(scores + membership, membership, draws)["auc"]
    covered.append(figure["low"] <= truth <= figure["high"])
  assert np.mean(covered) >= 0.9


def test_replicates_without_both_classes_are_left_out():
  # Each example is a member of all models or of none: a replicate that draws
  # one kind alone has no curve.
  membership = np.array([[True] * 3, [False] * 3])
  scores = np.arange(6.0).reshape(2, 3)
  examples = np.array([[2, 0], [1, 1], [0, 2]], np.int32)
  draws = bootstrap.Draws(examples, np.ones((3, 3), np.int32))
  figure = bootstrap.intervals(scores, membership, draws)["auc"]
  assert figure == {"value": 0, "low": 0, "high": 0}
  useless = bootstrap.Draws(examples[:1], draws.models[:1])
  with pytest.raises(ValueError, match="draw more"):
    bootstrap.intervals(scores, membership, useless)


def test_refuses_draws_of_another_table():
  rng = np.random.default_rng(3)
  scores, membership = _table(rng, 6, 8)
  draws = bootstrap.draw(8, 6, 5, rng)
  with pytest.raises(ValueError, match=r"draws are for \(8, 6\)"):
    bootstrap.intervals(scores, membership, draws)
