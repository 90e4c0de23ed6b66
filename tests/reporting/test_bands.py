"""The band around a ROC curve, against plain loops and simulated repetition."""

import numpy as np
import pytest
from scipy import stats

from syndata_jax import attack
from syndata_jax.attack import bootstrap
from syndata_jax.reporting.bands import roc_band

Q, M = 60, 10


def draw(seed, gap=1.5):
  rng = np.random.default_rng(seed)
  half = np.tile(np.arange(M) < M // 2, (Q, 1))
  membership = rng.permuted(half, axis=1)
  return np.round(rng.normal(gap * membership), 2), membership


def test_it_begins_at_one_false_positive_and_holds_the_curve():
  scores, membership = draw(0)
  band = roc_band(scores, membership)
  assert band.fpr[0] == 1 / 300 and band.fpr[-1] == 1
  assert (np.diff(band.fpr) > 0).all()
  tpr = [attack.tpr_at_fpr(scores, membership, fpr) for fpr in band.fpr]
  assert (band.low <= tpr).all() and (tpr <= band.high).all()
  assert (np.diff(band.low) >= 0).all() and (np.diff(band.high) >= 0).all()
  assert band.low.min() >= 0 and band.high.max() <= 1
  again = roc_band(scores, membership)
  np.testing.assert_array_equal(band.low, again.low)


def test_against_resampling_one_score_at_a_time(monkeypatch):
  scores, membership = draw(1)
  rng = np.random.default_rng(5)
  examples = rng.multinomial(Q, np.full(Q, 1 / Q), 40)
  models = rng.multinomial(M, np.full(M, 1 / M), 40)
  drawn = bootstrap.Draws(examples.astype(np.int32), models.astype(np.int32))
  monkeypatch.setattr(bootstrap, "draw", lambda *_: drawn)
  band = roc_band(scores, membership, replicates=40)
  for place in (0, 40, 80):
    fpr = band.fpr[place]
    tprs = [attack.tpr_at_fpr(scores, membership, fpr)]
    for rows, columns in zip(examples, models, strict=True):
      rows, columns = np.arange(Q).repeat(rows), np.arange(M).repeat(columns)
      grid = np.ix_(rows, columns)
      tprs.append(attack.tpr_at_fpr(scores[grid], membership[grid], fpr))
    low, high = np.quantile(tprs, [0.025, 0.975])
    right = Q * tprs[0]
    exact = stats.beta.ppf(0.025, right, Q - right + 1)
    assert band.low[place] == pytest.approx(min(low, exact))
    exact = stats.beta.ppf(0.975, right + 1, Q - right)
    assert band.high[place] == pytest.approx(max(high, exact))


def test_it_does_not_collapse_where_everything_is_recognised():
  _, membership = draw(2)
  band = roc_band(membership.astype(float), membership)
  # None of 60 examples missed: 0.025 ** (1 / 60).
  np.testing.assert_allclose(band.low, 0.9403, atol=1e-4)
  np.testing.assert_array_equal(band.high, 1.0)


def test_a_single_model_has_one():
  rng = np.random.default_rng(0)
  membership = rng.random((50, 1)) < 0.5
  band = roc_band(rng.normal(size=(50, 1)), membership)
  assert np.isfinite(band.low).all() and (band.low < band.high)[:-1].all()
