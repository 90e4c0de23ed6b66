"""The whole audit: its record, its control, its power, and its time."""

import json
import time

import numpy as np
import pytest

from syndata_jax import keys
from syndata_jax.attack import (
  FPR_LEVELS,
  EpsilonBound,
  OtherNetwork,
  PredictionFile,
  Predictions,
  Variant,
  attack,
  auc,
  balanced_accuracy,
  bootstrap,
  epsilon_lower_bound,
  headline_scores,
  hinge_score,
  roc,
  tpr_at_fpr,
  variant_scores,
)
from syndata_jax.attack.intervals import resample
from syndata_jax.attack.variants import variants


def _predictions(seed, shape, gap=0.0):
  """Logits [Q, M, A, K] of random models that raise the label of members."""
  rng = np.random.default_rng(seed)
  examples, models, _, classes = shape
  half = np.tile(np.arange(models) < models // 2, (examples // 2, 1))
  half = rng.permuted(half, axis=1)
  membership = np.stack([half, ~half], axis=1).reshape(examples, models)
  labels = rng.integers(0, classes, examples).astype(np.int32)
  logits = rng.normal(size=shape).astype(np.float32)
  raised = np.eye(classes)[labels][:, None] * membership[:, :, None]
  logits += gap * raised[:, :, None].astype(np.float32)
  return Predictions(logits, labels, membership)


def _file(seed=0, views=3, gap=2.0):
  canaries = _predictions(seed, (20, 8, views, 4), gap)
  average = _predictions(seed + 1, (12, 8, views, 4))
  dummies = _predictions(seed + 2, (16, 8, views, 4))
  return PredictionFile(canaries, average, dummies=dummies)


def _variants(population):
  return [
    (r["attack"], r["score"], r["variance"], r["views"])
    for r in population["attacks"]
  ]


def test_the_record():
  result = attack(_file(), replicates=20)
  headline = dict(attack="lira", score="hinge", variance="shrunk", views=3)
  assert list(result) == [
    "audit",
    "headline",
    "epsilon_bound",
    "canaries",
    "average",
    "dummies",
  ]
  assert result["audit"] == "shadow_models"
  assert result["headline"] == headline
  levels = [str(fpr) for fpr in FPR_LEVELS]
  for name, examples in (("canaries", 20), ("average", 12), ("dummies", 16)):
    population = dict(result[name])
    attacks, best = population.pop("attacks"), population.pop("corrected")
    count = examples * 4
    assert population == {
      "examples": examples,
      "models": 8,
      "views": 3,
      "members": count,
      "nonmembers": count,
      "smallest_fpr": 1 / count,
      "chance": {key: roc.chance(float(key), count) for key in levels},
    }
    for record in attacks:
      assert list(record) == [
        *headline,
        "tpr_at_fpr",
        "auc",
        "balanced_accuracy",
      ]
      assert list(record["tpr_at_fpr"]) == levels
      figures = [*record["tpr_at_fpr"].values(), record["auc"]]
      for figure in (*figures, record["balanced_accuracy"]):
        assert list(figure) == ["value", "low", "high"]
        assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
    assert headline.items() <= attacks[0].items()
    assert list(best) == levels
    for key, each in best.items():
      shown = attacks[each["attack"]]["tpr_at_fpr"][key]
      assert each["value"] == shown["value"]
      assert each["low"] <= shown["low"]
  assert json.loads(json.dumps(result, allow_nan=False)) == result


@pytest.mark.parametrize("views", [1, 3])
def test_runs_every_variant_once_and_the_headline_first(views):
  result = attack(_file(views=views), replicates=2)
  expected = {
    ("lira", score, variance, views)
    for score in ("hinge", "logit")
    for variance in ("shrunk", "per_example", "global")
  }
  expected |= {("lira", score, "shrunk", 1) for score in ("hinge", "logit")}
  expected |= {(name, "logit", None, views) for name in ("rmia", "base")}
  expected |= {("threshold", score, None, 1) for score in ("hinge", "logit")}
  listed = _variants(result["canaries"])
  assert len(listed) == len(expected)
  assert set(listed) == expected
  assert listed[0] == ("lira", "hinge", "shrunk", views)


def test_without_an_average_case_or_dummies_there_are_none():
  file = _file()
  alone = attack(file._replace(average=None, dummies=None), replicates=20)
  assert list(alone) == ["audit", "headline", "epsilon_bound", "canaries"]
  # And the canaries' figures do not depend on what else is in the file.
  assert alone["canaries"] == attack(file, replicates=20)["canaries"]


@pytest.mark.parametrize("target", [0, 5])
def test_a_target_is_judged_alone(target):
  """By figures of its column, and no other model's."""
  file = _file(gap=9.0)._replace(target=target)
  result = attack(file, replicates=20)
  assert result["audit"] == "target"
  canaries = result["canaries"]
  members = int(file.canaries.membership[:, target].sum())
  assert canaries["members"] + canaries["nonmembers"] == 20
  assert canaries["members"] == members
  scores = headline_scores(file.canaries, target)[:, 0]
  inside = file.canaries.membership[:, target]
  assert canaries["attacks"][0]["auc"]["value"] == auc(scores, inside)
  assert canaries["attacks"][0]["auc"]["value"] > 0.9


def test_the_best_of_several_is_corrected_for_their_number():
  """The same intervals as a row alone, at 1 - 0.05 / rows."""
  file = _file(gap=1.0)
  result = attack(file, seed=1, replicates=60)["canaries"]
  rows = variants(file.canaries)
  generator = keys.generator(1, "attack/canaries/bootstrap")
  draws = bootstrap.draw(20, 8, 60, generator)
  lows = []
  for row in rows:
    scores = variant_scores(file.canaries, row)
    judged = resample(scores, file.canaries.membership, draws)
    lows.append(judged.interval(1 - 0.05 / len(rows))[0])
  for level, best in enumerate(result["corrected"].values()):
    assert best["low"] == max(low[level] for low in lows)
    assert lows[best["attack"]][level] == best["low"]


def test_the_figures_are_those_of_the_parts():
  canaries = _file().canaries
  member = canaries.membership
  for record in attack(_file(), replicates=2)["canaries"]["attacks"]:
    variant = Variant(*(record[name] for name in Variant._fields))
    scores = variant_scores(canaries, variant)
    assert record["auc"]["value"] == auc(scores, member)
    best = balanced_accuracy(scores, member)
    assert record["balanced_accuracy"]["value"] == best
    for level, figure in record["tpr_at_fpr"].items():
      assert figure["value"] == tpr_at_fpr(scores, member, float(level))


def test_the_epsilon_bound_is_that_of_scores_that_know_no_coins():
  canaries = _file(gap=9.0).canaries
  scores = hinge_score(canaries.logits, canaries.labels[:, None, None])
  for delta in (1e-5, 1e-4):
    expected = epsilon_lower_bound(scores, canaries.membership, delta)
    assert expected.epsilon > 1
    record = attack(_file(gap=9.0), replicates=2, delta=delta)["epsilon_bound"]
    assert EpsilonBound(**record) == expected
  assert attack(_file(), replicates=2)["epsilon_bound"]["delta"] == 1e-5


@pytest.mark.parametrize("models", [8, 1])
def test_another_network_is_attacked_as_the_headline_attacks(models):
  """As if its logits were the canaries' own: same rows, coins and draws."""
  file = _file()
  if models == 1:
    logits, labels, membership = file.canaries
    membership = np.arange(20)[:, None] % 3 == 0
    file = PredictionFile(Predictions(logits[:, :1], labels, membership))
  rng = np.random.default_rng(5)
  raised = np.eye(4)[file.canaries.labels][:, None, None]
  logits = 3.0 * raised * file.canaries.membership[:, :, None, None]
  logits = (logits + rng.normal(size=file.canaries.logits.shape)).astype("f4")
  others = {
    "teacher": OtherNetwork(logits, np.ones(models, np.float32)),
    "base": OtherNetwork(file.canaries.logits),
  }
  result = attack(file._replace(others=others), seed=4, replicates=20)
  swapped = file._replace(canaries=file.canaries._replace(logits=logits))
  expected = attack(swapped, seed=4, replicates=20)
  assert list(result["others"]) == ["teacher", "base"]
  assert result["others"]["teacher"] == expected["canaries"]["attacks"][0]
  assert result["others"]["base"] == result["canaries"]["attacks"][0]
  assert result["others"]["teacher"] != result["others"]["base"]
  # And nothing else depends on what stands beside.
  alone = attack(file, seed=4, replicates=20)
  assert "others" not in alone
  assert alone == {k: v for k, v in result.items() if k != "others"}
  assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_is_deterministic_and_leaves_its_input_alone():
  file = _file()
  before = [array.copy() for array in file.canaries]
  first = attack(file, seed=1, replicates=20)
  assert json.dumps(first) == json.dumps(attack(file, seed=1, replicates=20))
  for array, copy in zip(file.canaries, before, strict=True):
    np.testing.assert_array_equal(array, copy)
  other = attack(file, seed=2, replicates=20)
  for one, two in zip(
    first["canaries"]["attacks"], other["canaries"]["attacks"], strict=True
  ):
    assert one["auc"]["value"] == two["auc"]["value"]
    assert one["auc"] != two["auc"]


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_found_where_there_is_nothing(seed):
  file = PredictionFile(_predictions(seed, (500, 32, 1, 3)))
  for record in attack(file, seed, replicates=2)["canaries"]["attacks"]:
    rates = record["tpr_at_fpr"]
    assert rates["0.001"]["value"] <= 0.003
    assert 0.005 <= rates["0.01"]["value"] <= 0.016
    assert 0.47 <= record["auc"]["value"] <= 0.52


def test_leakage_is_found_beside_a_null_at_chance():
  file = PredictionFile(
    _predictions(0, (500, 32, 2, 10), gap=8.0),
    dummies=_predictions(1, (500, 32, 2, 10)),
  )
  result = attack(file, replicates=50)
  headline = result["canaries"]["attacks"][0]
  null = result["dummies"]["attacks"][0]
  assert headline["tpr_at_fpr"]["0.001"]["low"] > 0.9
  assert headline["auc"]["low"] > 0.99
  assert null["tpr_at_fpr"]["0.001"]["value"] <= 0.003
  assert 0.47 <= null["auc"]["value"] <= 0.51


def test_calibration_beats_the_threshold_where_examples_differ():
  predictions = _predictions(0, (200, 32, 1, 2), gap=3.0)
  difficulty = np.random.default_rng(0).normal(0, 10, (200, 1, 1))
  label = np.arange(200), slice(None), slice(None), predictions.labels
  predictions.logits[label] += difficulty
  records = attack(PredictionFile(predictions), replicates=2)["canaries"]
  figures = {
    record["attack"]: record["auc"]["value"]
    for record in records["attacks"]
    if record["variance"] in ("shrunk", None) and record["score"] == "hinge"
  }
  assert figures["threshold"] < 0.65
  assert figures["lira"] > 0.9


def test_needs_replicates():
  with pytest.raises(ValueError, match="draw more"):
    attack(_file(), replicates=0)


@pytest.mark.slow
def test_a_full_audit_takes_seconds():
  shape = (500, 32, 18, 10)
  file = PredictionFile(_predictions(0, shape, 1), _predictions(1, shape))
  start = time.process_time()
  attack(file)
  seconds = time.process_time() - start
  print(f"audit of two populations of 500 x 32 x 18: {seconds:.1f} s of CPU")
  assert seconds < 20
