"""The audit of one model: its record, its scores, its bound, its control."""

import json

import numpy as np
import pytest

from syndata_jax.attack import (
  EpsilonBound,
  PredictionFile,
  Predictions,
  attack,
  auc,
  check_claim,
  epsilon_lower_bound,
)
from syndata_jax.attack.epsilon import GuaranteeBroken
from syndata_jax.privacy import epsilon, gaussian_noise_multiplier


def _predictions(seed, examples=200, gap=2.0, noise=1.0, views=3):
  """One model that raises the label of what it was trained on by `gap`."""
  rng = np.random.default_rng(seed)
  membership = rng.random((examples, 1)) < 0.5
  labels = rng.integers(0, 4, examples).astype(np.int32)
  logits = noise * rng.normal(size=(examples, 1, views, 4))
  raised = np.eye(4)[labels][:, None, None]
  logits = logits + gap * raised * membership[:, :, None, None]
  return Predictions(logits.astype(np.float32), labels, membership)


def _hinge(predictions):
  """The mean over views, as a loop."""
  scores = []
  for logits, label in zip(
    predictions.logits[:, 0].astype(np.float64),
    predictions.labels,
    strict=True,
  ):
    others = np.delete(logits, label, axis=1)
    scores.append(np.mean(logits[:, label] - others.max(axis=1)))
  return np.array(scores)


def test_the_record():
  canaries, average = _predictions(0), _predictions(1, 50, 0.0)
  result = attack(PredictionFile(canaries, average), replicates=20)
  assert list(result) == [
    "audit",
    "headline",
    "epsilon_bound",
    "canaries",
    "average",
  ]
  assert result["audit"] == "one_run"
  headline = dict(attack="threshold", score="hinge", variance=None, views=3)
  assert result["headline"] == headline
  for name, predictions in (("canaries", canaries), ("average", average)):
    population = dict(result[name])
    attacks = population.pop("attacks")
    assert set(population.pop("chance")) == set(population.pop("corrected"))
    members = int(predictions.membership.sum())
    nonmembers = len(predictions.labels) - members
    assert population == {
      "examples": len(predictions.labels),
      "models": 1,
      "views": 3,
      "members": members,
      "nonmembers": nonmembers,
      "smallest_fpr": 1 / nonmembers,
    }
    assert [(r["score"], r["views"]) for r in attacks] == [
      ("hinge", 3),
      ("logit", 3),
      ("hinge", 1),
      ("logit", 1),
    ]
    expected = auc(_hinge(predictions), predictions.membership[:, 0])
    assert attacks[0]["auc"]["value"] == pytest.approx(expected, abs=1e-12)
    assert attacks[0]["auc"]["low"] <= expected <= attacks[0]["auc"]["high"]
  assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_the_bound_is_that_of_the_mean_hinge_score():
  canaries = _predictions(2, gap=5.0)
  result = attack(PredictionFile(canaries), replicates=2, delta=1e-4)
  scores = _hinge(canaries)[:, None]
  expected = epsilon_lower_bound(scores, canaries.membership, 1e-4)
  bound = EpsilonBound(**result["epsilon_bound"])
  assert bound.neighbours == "add_or_remove_one"
  assert bound == expected
  assert bound.epsilon > 2


def test_no_leakage_shows_nothing():
  files = [
    PredictionFile(_predictions(seed, 64, gap=0.0)) for seed in range(100)
  ]
  bounds = [attack(file, replicates=1)["epsilon_bound"] for file in files]
  assert sum(bound["epsilon"] > 0 for bound in bounds) <= 5


def test_one_model_of_a_paired_split_is_judged_by_pairs():
  canaries = _predictions(3, gap=5.0)
  paired = canaries.membership.copy()
  paired[1::2] = ~paired[::2]
  canaries = canaries._replace(membership=paired)
  bound = attack(PredictionFile(canaries), replicates=2)["epsilon_bound"]
  assert bound["neighbours"] == "replace_one"
  assert bound["coins"] == 100


@pytest.mark.parametrize("factor, holds", [(1.0, True), (0.01, False)])
def test_noise_that_is_too_small_breaks_the_claim(factor, holds):
  """Each canary moves one logit by the clip norm; sigma is for epsilon 1."""
  sigma = gaussian_noise_multiplier(1.0, 1, 1e-5)
  rng = np.random.default_rng(4)
  membership = rng.random((300, 1)) < 0.5
  moved = membership[:, :, None] + factor * sigma * rng.normal(size=(300, 1, 1))
  logits = np.stack([moved, np.zeros_like(moved)], axis=-1).astype(np.float32)
  labels = np.zeros(300, np.int32)
  file = PredictionFile(Predictions(logits, labels, membership))
  record = attack(file, replicates=2)["epsilon_bound"]
  bound, claim = EpsilonBound(**record), epsilon(1.0, sigma, 1, 1e-5)
  assert claim == pytest.approx(1.0, rel=1e-3)
  if holds:
    check_claim(bound, claim)
  else:
    with pytest.raises(GuaranteeBroken):
      check_claim(bound, claim)


def _pairs(rng, canaries, models):
  half = rng.random((canaries // 2, models)).argsort(1).argsort(1)
  half = half < models // 2
  return np.stack([half, ~half], axis=1).reshape(canaries, models)


@pytest.mark.parametrize("shared, holds", [(False, True), (True, False)])
def test_noise_shared_by_all_models_breaks_the_claim(shared, holds):
  """Models are compared, so what all of them have in common hides nothing."""
  rng = np.random.default_rng(5)
  sigma = gaussian_noise_multiplier(1.0, 1, 1e-5)
  membership = _pairs(rng, 60, 16)
  noise = sigma * rng.normal(size=(60, 1 if shared else 16))
  # What else differs between models: a hundredth of the clip norm.
  raw = membership + noise + 0.01 * rng.normal(size=(60, 16))
  bound = epsilon_lower_bound(raw, membership, 1e-5)
  claim = epsilon(1.0, sigma, 1, 1e-5, "replace_one")
  if holds:
    check_claim(bound, claim)
  else:
    with pytest.raises(GuaranteeBroken):
      check_claim(bound, claim)
