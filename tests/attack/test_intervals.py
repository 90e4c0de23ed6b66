"""Error bars: coverage over repeated audits, and where they must not close."""

import numpy as np
import pytest
from scipy import stats

from syndata_jax.attack import bootstrap, lira
from syndata_jax.attack.intervals import resample, share_interval


def _deal(rng, examples, models):
  half = np.tile(np.arange(models) < models // 2, (examples // 2, 1))
  half = rng.permuted(half, axis=1)
  return np.stack([half, ~half], axis=1).reshape(examples, models)


def _audit(rng, noise, gap, examples=200, models=32):
  """LiRA's scores where canaries and models have levels of their own."""
  membership = _deal(rng, examples, models)
  level = rng.normal(0, 2, (examples, 1)) + rng.normal(0, 0.5, (1, models))
  raised = gap(rng, examples)[:, None] * membership
  scores = level + noise(rng, (examples, models)) + raised
  return lira(scores[:, :, None], membership), membership


def _gaussian(rng, shape):
  return rng.normal(size=shape)


def _heavy(rng, shape):
  return rng.standard_t(3, size=shape)


def _two_humped(rng, shape):
  return rng.normal(size=shape) + 6 * (rng.random(shape) < 0.1)


_SCENARIOS = {
  "nothing leaks": (_gaussian, lambda rng, size: np.zeros(size)),
  "gap 2": (_gaussian, lambda rng, size: np.full(size, 2.0)),
  "mixed": (_gaussian, lambda rng, size: rng.choice([0, 1, 2, 4, 6], size)),
  "one in 20 leaks wholly": (
    _gaussian,
    lambda rng, size: 12.0 * (rng.permutation(size) < size // 20),
  ),
  "gap 7": (_gaussian, lambda rng, size: np.full(size, 7.0)),
  "heavy tails": (_heavy, lambda rng, size: np.full(size, 8.0)),
  "two humps": (_two_humped, lambda rng, size: np.full(size, 5.0)),
}


def _coverage(name, audits, replicates):
  """How often 95% intervals hold the mean figure, at 0.1% and 1% FPR."""
  rng = np.random.default_rng(len(name))
  found = []
  for _ in range(audits):
    scores, membership = _audit(rng, *_SCENARIOS[name])
    draws = bootstrap.draw(*membership.shape, replicates, rng)
    rates = resample(scores, membership, draws).record()["tpr_at_fpr"]
    found.append([list(rates[fpr].values()) for fpr in ("0.001", "0.01")])
  value, low, high = np.moveaxis(found, -1, 0)
  truth = value.mean(axis=0)
  covered = ((low <= truth) & (truth <= high)).mean(axis=0)
  width = np.median(high - low, axis=0)
  print(f"{name}: truth {truth}, width {width}, covered {covered}")
  return covered


@pytest.mark.parametrize("name", ["gap 2", "gap 7", "two humps"])
def test_intervals_cover_over_repeated_audits(name):
  assert (_coverage(name, audits=40, replicates=60) >= 0.9).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", _SCENARIOS)
def test_intervals_cover_in_every_scenario(name):
  assert (_coverage(name, audits=300, replicates=200) >= 0.93).all()


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.996])
def test_shares_have_the_interval_of_clopper_and_pearson(confidence):
  for successes in (0, 1, 7, 40):
    ends = share_interval(successes / 40, 40, confidence)
    test = stats.binomtest(successes, 40)
    expected = test.proportion_ci(confidence, method="exact")
    np.testing.assert_allclose(ends, expected, atol=1e-12)


@pytest.mark.parametrize("leaks", [True, False])
def test_an_interval_does_not_close_where_every_replicate_is_alike(leaks):
  rng = np.random.default_rng(0)
  membership = _deal(rng, 200, 8)
  scores = np.where(membership == leaks, 1.0, 0.0)
  draws = bootstrap.draw(200, 8, 20, rng)
  figure = resample(scores, membership, draws).record()["tpr_at_fpr"]["0.001"]
  assert figure["value"] == leaks
  assert figure["high"] - figure["low"] == pytest.approx(0.0183, abs=1e-4)


def test_more_confidence_is_never_a_narrower_interval():
  rng = np.random.default_rng(1)
  scores, membership = _audit(rng, *_SCENARIOS["mixed"])
  judged = resample(
    scores, membership, bootstrap.draw(*membership.shape, 100, rng)
  )
  low, high = judged.interval(0.95)
  lower, higher = judged.interval(0.996)
  assert (lower <= low).all() and (higher >= high).all()
  assert (lower < low).any() and (higher > high).any()


def test_shared_models_widen_the_interval():
  # One score per model, the same for all examples: 200 x 12 scores, but only
  # 12 independent ones.
  rng = np.random.default_rng(1)
  membership = np.tile(np.arange(12) % 2 == 0, (200, 1))
  shared = np.tile(rng.normal(size=12), (200, 1))
  apart = rng.normal(size=(200, 12))
  draws = bootstrap.draw(200, 12, 200, rng)

  def width(scores):
    figure = resample(scores, membership, draws).record()["auc"]
    return figure["high"] - figure["low"]

  assert width(shared) > 5 * width(apart)


def test_the_interval_of_the_auc_covers_the_truth():
  # Scores with an effect of the example, of the model and of the pair; a
  # member's scores are higher by 1, so AUC = Phi(1 / sqrt(2 * 3)).
  rng = np.random.default_rng(2)
  truth, covered = 0.6585, []
  for _ in range(100):
    membership = _deal(rng, 40, 16)
    scores = sum(rng.normal(size=s) for s in [(40, 1), (1, 16), (40, 16)])
    draws = bootstrap.draw(40, 16, 100, rng)
    figure = resample(scores + membership, membership, draws).record()["auc"]
    covered.append(figure["low"] <= truth <= figure["high"])
  assert np.mean(covered) >= 0.9
