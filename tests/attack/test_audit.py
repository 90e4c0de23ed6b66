"""The whole audit: its record, its control, its power, and its time."""

import json
import time

import numpy as np
import pytest

from syndata_jax.attack import (
  FPR_LEVELS,
  EpsilonBound,
  OtherNetwork,
  PredictionFile,
  Predictions,
  attack,
  auc,
  balanced_accuracy,
  epsilon_lower_bound,
  headline_scores,
  hinge_score,
  lira,
  logit_score,
  shuffled,
  tpr_at_fpr,
)


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
  return PredictionFile(canaries, _predictions(seed + 1, (12, 8, views, 4)))


def _variants(population):
  return [
    (r["attack"], r["score"], r["variance"], r["views"])
    for r in population["attacks"]
  ]


def test_the_record():
  result = attack(_file(), replicates=20)
  headline = dict(attack="lira", score="hinge", variance="per_example", views=3)
  assert list(result) == [
    "audit",
    "headline",
    "epsilon_bound",
    "canaries",
    "average",
  ]
  assert result["audit"] == "shadow_models"
  assert result["headline"] == headline
  for name, examples in (("canaries", 20), ("average", 12)):
    population = dict(result[name])
    attacks, control = population.pop("attacks"), population.pop("shuffled")
    assert population == {
      "examples": examples,
      "models": 8,
      "views": 3,
      "members": examples * 4,
      "nonmembers": examples * 4,
      "smallest_fpr": 1 / (examples * 4),
    }
    for record in (*attacks, control):
      assert list(record) == [
        *headline,
        "tpr_at_fpr",
        "auc",
        "balanced_accuracy",
      ]
      assert list(record["tpr_at_fpr"]) == [str(f) for f in FPR_LEVELS]
      figures = [*record["tpr_at_fpr"].values(), record["auc"]]
      for figure in (*figures, record["balanced_accuracy"]):
        assert list(figure) == ["value", "low", "high"]
        assert 0 <= figure["low"] <= figure["high"] <= 1
        assert 0 <= figure["value"] <= 1
    assert headline.items() <= attacks[0].items()
    assert headline.items() <= control.items()
  assert json.loads(json.dumps(result, allow_nan=False)) == result


@pytest.mark.parametrize("views", [1, 3])
def test_runs_every_variant_once_and_the_headline_first(views):
  result = attack(_file(views=views), replicates=2)
  expected = {
    ("lira", score, variance, count)
    for score in ("hinge", "logit")
    for variance in ("per_example", "global")
    for count in {1, views}
  } | {("threshold", score, None, 1) for score in ("hinge", "logit")}
  listed = _variants(result["canaries"])
  assert len(listed) == len(expected)
  assert set(listed) == expected
  assert listed[0] == ("lira", "hinge", "per_example", views)


def test_without_an_average_case_there_is_no_average():
  file = _file()
  alone = attack(file._replace(average=None), replicates=20)
  assert list(alone) == ["audit", "headline", "epsilon_bound", "canaries"]
  # And the canaries' figures do not depend on what else is in the file.
  assert alone["canaries"] == attack(file, replicates=20)["canaries"]


def test_the_figures_are_those_of_the_parts():
  canaries = _file().canaries
  labels = canaries.labels[:, None, None]
  for record in attack(_file(), replicates=2)["canaries"]["attacks"]:
    score = {"hinge": hinge_score, "logit": logit_score}[record["score"]]
    scores = score(canaries.logits, labels)[:, :, : record["views"]]
    if record["attack"] == "lira":
      scores = lira(scores, canaries.membership, record["variance"])
    else:
      scores = scores[:, :, 0]
    member = canaries.membership
    assert record["auc"]["value"] == auc(scores, member)
    best = balanced_accuracy(scores, member)
    assert record["balanced_accuracy"]["value"] == best
    for level, figure in record["tpr_at_fpr"].items():
      assert figure["value"] == tpr_at_fpr(scores, member, float(level))


def test_the_epsilon_bound_is_that_of_the_headline_on_the_canaries():
  canaries = _file(gap=9.0).canaries
  scores = headline_scores(canaries)
  for delta in (1e-5, 1e-4):
    expected = epsilon_lower_bound(scores, canaries.membership, delta)
    assert expected.epsilon > 1
    record = attack(_file(gap=9.0), replicates=2, delta=delta)["epsilon_bound"]
    assert EpsilonBound(**record) == expected
  assert attack(_file(), replicates=2)["epsilon_bound"]["delta"] == 1e-5


def test_headline_scores_and_control_are_those_of_the_record():
  file = _file()
  result = attack(file, seed=3, replicates=2)
  for name in ("canaries", "average"):
    predictions = getattr(file, name)
    control = shuffled(predictions, 3, name)
    for record, used in (
      (result[name]["attacks"][0], predictions),
      (result[name]["shuffled"], control),
    ):
      figure = auc(headline_scores(used), used.membership)
      assert record["auc"]["value"] == figure


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
  assert other["canaries"]["shuffled"] != first["canaries"]["shuffled"]
  for one, two in zip(
    first["canaries"]["attacks"], other["canaries"]["attacks"], strict=True
  ):
    assert one["auc"]["value"] == two["auc"]["value"]
    assert one["auc"] != two["auc"]


def test_the_control_shuffles_each_row_by_itself():
  predictions = _predictions(0, (500, 32, 1, 2))
  control = shuffled(predictions, 0, "canaries")
  membership = control.membership
  np.testing.assert_array_equal(
    membership.sum(axis=1), predictions.membership.sum(axis=1)
  )
  assert abs((membership == predictions.membership).mean() - 0.5) < 0.02
  # Complementary rows do not stay complementary.
  assert abs((membership[::2] == membership[1::2]).mean() - 0.5) < 0.02
  assert control.logits is predictions.logits
  average = shuffled(predictions, 0, "average").membership
  assert abs((membership == average).mean() - 0.5) < 0.02


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_found_where_there_is_nothing(seed):
  file = PredictionFile(_predictions(seed, (500, 32, 1, 3)))
  for record in attack(file, seed, replicates=2)["canaries"]["attacks"]:
    if record["attack"] == "lira" and record["score"] == "hinge":
      assert 0.0002 <= record["tpr_at_fpr"]["0.001"]["value"] <= 0.003
      assert 0.48 <= record["auc"]["value"] <= 0.51


def test_leakage_is_found_beside_a_control_at_chance():
  file = PredictionFile(_predictions(0, (500, 32, 2, 10), gap=8.0))
  result = attack(file, replicates=50)["canaries"]
  headline, control = result["attacks"][0], result["shuffled"]
  assert headline["tpr_at_fpr"]["0.001"]["low"] > 0.9
  assert headline["auc"]["low"] > 0.99
  assert control["tpr_at_fpr"]["0.001"]["value"] <= 0.003
  assert 0.47 <= control["auc"]["value"] <= 0.51


def test_calibration_beats_the_threshold_where_examples_differ():
  predictions = _predictions(0, (200, 32, 1, 2), gap=3.0)
  difficulty = np.random.default_rng(0).normal(0, 10, (200, 1, 1))
  label = np.arange(200), slice(None), slice(None), predictions.labels
  predictions.logits[label] += difficulty
  records = attack(PredictionFile(predictions), replicates=2)["canaries"]
  figures = {
    record["attack"]: record["auc"]["value"]
    for record in records["attacks"]
    if record["variance"] != "global" and record["score"] == "hinge"
  }
  assert figures["threshold"] < 0.65
  assert figures["lira"] > 0.9


def test_needs_replicates():
  with pytest.raises(ValueError, match="draw more"):
    attack(_file(), replicates=0)


def test_a_full_audit_takes_seconds():
  shape = (500, 32, 18, 10)
  file = PredictionFile(_predictions(0, shape, 1), _predictions(1, shape))
  start = time.process_time()
  attack(file)
  seconds = time.process_time() - start
  print(f"audit of two populations of 500 x 32 x 18: {seconds:.1f} s of CPU")
  assert seconds < 20
