"""The exposure of each example, against loops and the figures of the whole."""

import numpy as np
import pytest
from scipy import stats

from syndata_jax import attack
from syndata_jax.attack import Predictions, exposure

Q, M, A, K = 30, 12, 2, 4


def predictions(seed=0, leak=2.0, decimals=8):
  """Even and odd examples differ in how much they leak."""
  rng = np.random.default_rng(seed)
  half = np.tile(np.arange(M) < M // 2, (Q, 1))
  membership = rng.permuted(half, axis=1)
  labels = rng.integers(0, K, Q)
  logits = rng.normal(size=(Q, M, A, K))
  gain = leak * membership * (1 + np.arange(Q) % 2)[:, None]
  logits[np.arange(Q), :, :, labels] += gain[:, :, None]
  logits = np.round(logits, decimals).astype(np.float32)
  return Predictions(logits, labels.astype(np.int32), membership)


def recognised_one_by_one(judged, members, fpr):
  """bool[Q,M], by trying every threshold."""
  best = np.zeros_like(members)
  for threshold in np.unique(judged):
    called = judged >= threshold
    if called[~members].mean() <= fpr and (called & members).sum() > best.sum():
      best = called & members
  return best


def test_every_column_against_a_loop():
  given = predictions()
  judged = attack.headline_scores(given)
  result = exposure(given)
  assert sorted(result.row) == list(range(Q))
  strict = recognised_one_by_one(judged, given.membership, 0.001)
  lenient = recognised_one_by_one(judged, given.membership, 0.01)
  assert 0 < strict.sum() < lenient.sum() < given.membership.sum()
  for place, row in enumerate(result.row):
    members = given.membership[row]
    label = given.labels[row]
    assert result.label[place] == label
    assert result.models_in[place] == members.sum()
    assert result.models_out[place] == (~members).sum()
    hinges = [
      view[label] - np.delete(view, label).max()
      for view in given.logits[row, :, 0].astype(float)
    ]
    assert result.score_in[place] == pytest.approx(
      np.mean([h for h, m in zip(hinges, members, strict=True) if m])
    )
    assert result.score_out[place] == pytest.approx(
      np.mean([h for h, m in zip(hinges, members, strict=True) if not m])
    )
    assert result.recognised[place] == strict[row].sum() / members.sum()
    interval = stats.binomtest(
      int(strict[row].sum()), int(members.sum())
    ).proportion_ci(0.95, "exact")
    assert result.recognised_low[place] == pytest.approx(interval.low)
    assert result.recognised_high[place] == pytest.approx(interval.high)
    assert result.recognised_at_1_percent[place] == (
      lenient[row].sum() / members.sum()
    )


@pytest.mark.parametrize("decimals", [8, 1, 0])
@pytest.mark.parametrize("seed", range(3))
def test_their_mean_is_the_rate_of_the_whole(seed, decimals):
  given = predictions(seed, decimals=decimals)
  judged = attack.headline_scores(given)
  result = exposure(given)
  weights = result.models_in / result.models_in.sum()
  for column, fpr in (("recognised", 0.001), ("recognised_at_1_percent", 0.01)):
    rate = attack.tpr_at_fpr(judged, given.membership, fpr)
    assert (getattr(result, column) * weights).sum() == pytest.approx(rate)


def test_the_most_exposed_come_first():
  result = exposure(predictions())
  keys = list(
    zip(
      result.recognised,
      result.recognised_at_1_percent,
      result.score_in - result.score_out,
      strict=True,
    )
  )
  assert keys == sorted(keys, reverse=True)
  # Odd examples leak twice as much.
  assert (result.row[: Q // 2] % 2).mean() > 0.7


def test_of_a_single_model_half_is_not_known():
  whole = predictions(leak=9.0)
  members = np.arange(Q) % 3 == 0
  logits = whole.logits[:, :1].copy()
  logits[members, 0, :, whole.labels[members]] += 30
  result = exposure(Predictions(logits, whole.labels, members[:, None]))
  known = members[result.row]
  assert known.tolist() == sorted(known.tolist(), reverse=True)
  np.testing.assert_array_equal(result.recognised[known], 1.0)
  assert np.isnan(result.recognised[~known]).all()
  assert np.isnan(result.recognised_low[~known]).all()
  assert np.isnan(result.recognised_high[~known]).all()
  np.testing.assert_allclose(result.recognised_low[known], 0.025)
  np.testing.assert_array_equal(result.recognised_high[known], 1.0)
  assert np.isnan(result.score_out[known]).all()
  assert np.isnan(result.score_in[~known]).all()
  assert np.isfinite(result.score_in[known]).all()
  np.testing.assert_array_equal(result.models_in, known.astype(int))


def test_of_a_target_references_tell_the_mean_scores():
  whole = predictions(leak=6.0)
  result = exposure(whole, target=4)
  members = whole.membership[result.row]
  np.testing.assert_array_equal(result.models_in, members[:, 4].astype(int))
  np.testing.assert_array_equal(result.models_out, 1 - result.models_in)
  assert np.isnan(result.recognised[~members[:, 4]]).all()
  assert np.isfinite(result.score_in).all()
  assert np.isfinite(result.score_out).all()
  judged = attack.headline_scores(whole, 4)
  rate = attack.tpr_at_fpr(judged, whole.membership[:, 4:5], 0.01)
  assert np.nanmean(result.recognised_at_1_percent) == pytest.approx(rate)
