"""The attack on released images alone."""

import memberships
import numpy as np
import pytest

from syndata_jax.attack import (
  Closeness,
  OtherNetwork,
  PredictionFile,
  Predictions,
  attack,
  exposure,
  lira,
  released,
  tpr_at_fpr,
)

Q, M = 60, 16


def _predictions(seed, models=M):
  rng = np.random.default_rng(seed)
  membership = memberships.paired(rng, Q, models)
  if models == 1:
    membership = memberships.coins(rng, Q, 1, 0)
  logits = rng.normal(size=(Q, models, 1, 3)).astype(np.float32)
  return Predictions(logits, rng.integers(0, 3, Q).astype(np.int32), membership)


def _distances(membership, seed, copied=0.0):
  """Minus distances; members are copied as often as `copied` says."""
  rng = np.random.default_rng(seed)
  distance = rng.normal(2, 0.2, membership.shape) + rng.normal(0, 1, (Q, 1))
  copies = membership & (rng.random(membership.shape) < copied)
  return -np.where(copies, 0.1 * rng.random(copies.shape), abs(distance) + 0.5)


@pytest.fixture(scope="module")
def file():
  canaries, dummies = _predictions(0), _predictions(1)
  return PredictionFile(
    canaries,
    dummies=dummies,
    closeness={
      "pixels": Closeness(
        _distances(canaries.membership, 2, 0.8),
        dummies=_distances(dummies.membership, 3),
      ),
      "features": Closeness(
        _distances(canaries.membership, 4),
        dummies=_distances(dummies.membership, 5),
      ),
      "teacher": Closeness(
        _distances(canaries.membership, 6, 1.0),
        dummies=_distances(dummies.membership, 7),
      ),
    },
    others={"teacher": OtherNetwork(canaries.logits)},
  )


@pytest.fixture(scope="module")
def result(file):
  return attack(file, replicates=50)


def test_it_is_the_lira_of_models_on_minus_the_distance(file, result):
  membership = file.canaries.membership
  for space, closeness in file.closeness.items():
    scores = lira(closeness.canaries[:, :, None], membership, "shrunk")
    record = result["images"][space]["canaries"]
    assert record["attack"] == "lira" and record["variance"] == "shrunk"
    for fpr, rate in record["tpr_at_fpr"].items():
      assert rate["value"] == tpr_at_fpr(scores, membership, float(fpr))
      assert rate["low"] <= rate["value"] <= rate["high"]
    distance = -closeness.canaries
    assert record["distance"] == {
      "members": pytest.approx(distance[membership].mean()),
      "nonmembers": pytest.approx(distance[~membership].mean()),
    }


def test_planted_copies_are_found_and_dummies_are_not(result):
  found = result["images"]["pixels"]["canaries"]
  assert found["tpr_at_fpr"]["0.01"]["value"] > 0.7
  for space in ("pixels", "features"):
    assert abs(result["images"][space]["dummies"]["auc"]["value"] - 0.5) < 0.06


def test_of_nothing_the_attack_is_at_chance():
  """Over forty draws of dummies: the mean AUC, and the rate at an FPR."""
  aucs, rates = [], []
  for seed in range(40):
    membership = _predictions(seed).membership
    values = _distances(membership, 100 + seed)
    scores = lira(values[:, :, None], membership, "shrunk")
    rates.append(tpr_at_fpr(scores, membership, 0.05))
    aucs.append((scores[membership][:, None] > scores[~membership]).mean())
  # Leaving one out puts the AUC of nothing slightly below one half.
  assert np.mean(aucs) == pytest.approx(0.5, abs=0.012)
  assert np.mean(rates) == pytest.approx(0.05, abs=0.012)


def test_the_strongest_space_needs_no_network(result):
  """The teacher's own logits are not what images show alone."""
  count = len(result["canaries"]["attacks"]) + 2
  for fpr, best in result["images_corrected"].items():
    assert best["choices"] == count
    record = result["images"][best["space"]]["canaries"]["tpr_at_fpr"][fpr]
    assert best["value"] == record["value"] and best["low"] <= record["low"]
  assert result["images_corrected"]["0.01"]["space"] == "pixels"


def test_the_other_figures_stay_as_they_are(file, result):
  without = attack(file._replace(closeness={}), replicates=50)
  rest = {
    name: value
    for name, value in result.items()
    if name not in ("images", "images_corrected")
  }
  assert without == rest


def test_one_model_and_a_target():
  single = _predictions(0, models=1)
  closeness = {"x": Closeness(_distances(single.membership, 1, 0.9))}
  found = attack(PredictionFile(single, closeness=closeness), replicates=20)
  record = found["images"]["x"]["canaries"]
  assert record["attack"] == "threshold" and record["auc"]["value"] > 0.8

  several = _predictions(0)
  closeness = {"x": Closeness(_distances(several.membership, 1, 0.9))}
  file = PredictionFile(several, target=3, closeness=closeness)
  record = attack(file, replicates=20)["images"]["x"]["canaries"]
  assert record["attack"] == "lira" and record["auc"]["value"] > 0.8


def test_exposure_reads_distances():
  membership = _predictions(0).membership
  closeness = _distances(membership, 1, 0.9).astype(np.float32)
  columns = exposure(released.as_predictions(closeness, membership))
  row = columns.row[0]
  assert columns.score_in[0] == pytest.approx(
    closeness[row][membership[row]].mean(), rel=1e-5
  )
