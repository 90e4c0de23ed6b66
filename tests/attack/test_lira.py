"""LiRA against a double loop over targets and examples."""

import time

import numpy as np
import pytest
from scipy.stats import norm

from syndata_jax.attack import auc, lira, tpr_at_fpr


def _reference(scores, membership, variance):
  """The definition, one target model and one example at a time."""
  examples, models, _ = scores.shape
  result = np.empty((examples, models))
  for target in range(models):
    others = np.arange(models) != target
    others_scores, inside = scores[:, others], membership[:, others]
    for example in range(examples):
      logs = []
      for side in (inside, ~inside):
        of_side = others_scores[example][side[example]]  # [n, A]
        std = of_side.std(axis=0, ddof=1)
        if variance == "global":
          std = others_scores[side].std(ddof=1)
        score, mean = scores[example, target], of_side.mean(axis=0)
        logs.append(norm.logpdf(score, mean, std + 1e-30))
      result[example, target] = np.mean(logs[0] - logs[1])
  return result


def _paired(rng, examples, models):
  """Rows of half the models, rows 2k and 2k + 1 complements."""
  half = np.tile(np.arange(models) < models // 2, (examples // 2, 1))
  half = rng.permuted(half, axis=1)
  return np.stack([half, ~half], axis=1).reshape(examples, models)


def _unbalanced(rng, examples, models):
  """Rows of every size that leaves 3 on either side."""
  size = rng.integers(3, models - 2, (examples, 1))
  return rng.permuted(np.arange(models) < size, axis=1)


@pytest.mark.parametrize("variance", ["per_example", "global"])
@pytest.mark.parametrize("design", [_paired, _unbalanced])
@pytest.mark.parametrize(
  # The largest is more than one block of examples.
  "shape",
  [(2, 6, 1), (4, 6, 3), (30, 8, 1), (10, 33, 2), (60, 32, 18)],
)
def test_equals_the_double_loop(variance, design, shape):
  rng = np.random.default_rng(shape)
  membership = design(rng, *shape[:2])
  scores = rng.normal(rng.normal(0, 3, (shape[0], 1, 1)), 2, shape)
  scores += 2 * membership[:, :, None]
  before = scores.copy()
  result = lira(scores, membership, variance)
  assert result.dtype == np.float64
  expected = _reference(scores, membership, variance)
  np.testing.assert_allclose(result, expected, rtol=1e-10, atol=1e-10)
  np.testing.assert_array_equal(scores, before)


def test_the_default_is_per_example_variance():
  rng = np.random.default_rng(0)
  membership, scores = _paired(rng, 4, 8), rng.normal(size=(4, 8, 2))
  np.testing.assert_array_equal(
    lira(scores, membership), lira(scores, membership, "per_example")
  )


@pytest.mark.parametrize("variance", ["per_example", "global"])
def test_a_large_offset_costs_only_its_own_digits(variance):
  rng = np.random.default_rng(1)
  membership = _unbalanced(rng, 20, 12)
  # Multiples of 2^-10, which the offset does not round.
  scores = np.round(rng.normal(0, 1, (20, 12, 2)) * 1024) / 1024
  np.testing.assert_allclose(
    lira(scores + 2.0**30, membership, variance),
    lira(scores, membership, variance),
    atol=1e-5,
  )


def test_an_outlier_spoils_no_fit_that_it_is_not_in():
  rng = np.random.default_rng(2)
  membership = _paired(rng, 4, 12)
  scores = rng.normal(size=(4, 12, 1))
  for model in (0, 5, 11):
    spoilt = scores.copy()
    spoilt[:, model] = 1e12
    np.testing.assert_allclose(
      lira(spoilt, membership),
      _reference(spoilt, membership, "per_example"),
      rtol=1e-10,
    )


@pytest.mark.parametrize("size", [1e6, -1e6])
@pytest.mark.parametrize("models", [6, 7, 12])
def test_a_narrow_cluster_beside_an_outlier_keeps_its_width(models, size):
  """Whoever is the outlier, and whatever lies beside the others."""
  rng = np.random.default_rng(models)
  membership = np.tile(np.arange(models) % 2 == 0, (models, 1))
  # Multiples of 2^-20, which nothing rounds.
  scores = np.round(rng.normal(0, 1, (models, models, 1)) * 1024) / 2**20
  scores += np.where(membership, 3.0, -5.0)[:, :, None]
  scores[np.arange(models), np.arange(models)] += size
  np.testing.assert_allclose(
    lira(scores, membership),
    _reference(scores, membership, "per_example"),
    rtol=1e-10,
  )


@pytest.mark.parametrize("variance", ["per_example", "global"])
def test_scores_without_spread_stay_finite(variance):
  membership = _paired(np.random.default_rng(3), 4, 8)
  constant = np.full((4, 8, 2), 0.1)
  np.testing.assert_array_equal(lira(constant, membership, variance), 0)
  separate = np.broadcast_to(membership[:, :, None], (4, 8, 2)).astype(float)
  ratio = lira(separate, membership, variance)
  assert np.isfinite(ratio).all()
  assert ratio[membership].min() > 0 > ratio[~membership].max()


@pytest.mark.parametrize("variance", ["per_example", "global"])
@pytest.mark.parametrize("members", [0, 2, 6, 8])
def test_needs_three_of_each(variance, members):
  membership = np.tile(np.arange(8) < 4, (5, 1))
  membership[3] = np.arange(8) < members
  with pytest.raises(ValueError, match=rf"row 3 has {members} members"):
    lira(np.zeros((5, 8, 1)), membership, variance)


def test_refuses_what_does_not_fit():
  membership = np.tile(np.arange(8) < 4, (5, 1))
  with pytest.raises(ValueError, match="do not match"):
    lira(np.zeros((5, 8)), membership)
  with pytest.raises(ValueError, match="do not match"):
    lira(np.zeros((8, 5, 1)), membership)
  with pytest.raises(ValueError, match="variance='pooled': must be one of"):
    lira(np.zeros((5, 8, 1)), membership, "pooled")
  with pytest.raises(ValueError, match="not finite"):
    lira(np.full((5, 8, 1), np.nan), membership)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("variance", ["per_example", "global"])
def test_finds_nothing_where_there_is_nothing(seed, variance):
  rng = np.random.default_rng(seed)
  membership = _paired(rng, 500, 32)
  scores = lira(rng.normal(size=(500, 32, 1)), membership, variance)
  assert 0.0002 <= tpr_at_fpr(scores, membership, 0.001) <= 0.003
  assert 0.48 <= auc(scores, membership) <= 0.51


@pytest.mark.parametrize(
  "variance, expected", [("per_example", 0.275), ("global", 0.426)]
)
def test_power_on_unit_gaussians_three_apart(variance, expected):
  tprs = []
  for seed in range(4):
    rng = np.random.default_rng(seed)
    membership = _paired(rng, 500, 32)
    scores = rng.normal(3.0 * membership)[:, :, None]
    ratio = lira(scores, membership, variance)
    tprs.append(tpr_at_fpr(ratio, membership, 0.001))
  assert np.mean(tprs) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("variance", ["per_example", "global"])
def test_is_fast(variance):
  rng = np.random.default_rng(0)
  membership = _paired(rng, 500, 32)
  scores = rng.normal(size=(500, 32, 18))
  seconds = []
  for _ in range(5):
    start = time.perf_counter()
    lira(scores, membership, variance)
    seconds.append(time.perf_counter() - start)
  print(f"LiRA, {variance}, 500 x 32 x 18: {min(seconds):.3f} s")
  assert min(seconds) < 0.5
