"""The sentence that people quote, and when it may say `guessing`."""

import copy

import pytest

from syndata_jax.reporting.verdict import notes, verdict

_LEVELS = ("0.001", "0.002", "0.005", "0.01", "0.02", "0.05")
_CHANCE = dict(
  zip(_LEVELS, (0.00125, 0.0022, 0.0053, 0.0103, 0.0203, 0.0503), strict=True)
)


def _record(attack, variance, value, low):
  rate = {"value": value, "low": low, "high": min(1.0, 2 * value)}
  rates = {key: dict(rate) for key in _LEVELS}
  return {
    "attack": attack,
    "score": "hinge",
    "variance": variance,
    "views": 1,
    "tpr_at_fpr": rates,
  }


def _population(value, low):
  best = {"attack": 0, "value": value, "low": low / 2}
  return {
    "models": 32,
    "nonmembers": 3200,
    "smallest_fpr": 1 / 3200,
    "chance": dict(_CHANCE),
    "attacks": [
      _record("lira", "shrunk", value, low),
      _record("rmia", None, value, low),
    ],
    "corrected": {key: dict(best) for key in _LEVELS},
  }


@pytest.fixture
def attack():
  return {
    "canaries": _population(0.002, 0.0004),
    "dummies": _population(0.001, 0.0002),
    "epsilon_bound": {"epsilon": 0.0},
  }


def test_a_clear_headline_is_all_that_is_said(attack):
  attack["canaries"] = _population(0.4, 0.2)
  attack["epsilon_bound"]["epsilon"] = 3.0
  assert verdict(attack, "mislabelled") == (
    "Of the mislabelled images a model was trained on, the attack recognises "
    "40.0% with at most one false alarm in a thousand."
  )


def test_more_than_guessing_is_more_than_this_many_scores_give(attack):
  rate = attack["canaries"]["attacks"][0]["tpr_at_fpr"]["0.001"]
  rate["low"] = 0.00124  # above the FPR, but not above chance
  assert "not clearly more than guessing" in verdict(attack, None)
  rate["low"] = 0.00126
  assert "guessing" not in verdict(attack, None)


@pytest.mark.parametrize("fpr", ["0.001", "0.01"])
def test_another_attack_is_heard_before_guessing_is_said(attack, fpr):
  attack["canaries"]["corrected"][fpr] = dict(attack=1, value=0.36, low=0.1)
  sentence = verdict(attack, None)
  assert "not clearly more than guessing;" not in sentence
  assert "do leak: another attack (RMIA" in sentence
  assert "recognises 36.0%" in sentence and "one among 2" in sentence
  many = {"0.001": "thousand", "0.01": "hundred"}[fpr]
  assert f"one false alarm in a {many}, corrected" in sentence


def test_an_fpr_that_is_not_resolved_is_no_witness(attack):
  attack["canaries"] |= {"smallest_fpr": 1 / 150, "nonmembers": 150}
  attack["canaries"]["corrected"]["0.001"] |= {"value": 0.3, "low": 0.2}
  assert "not clearly more than guessing;" in verdict(attack, None)


def test_the_bound_on_epsilon_is_heard_before_guessing_is_said(attack):
  attack["epsilon_bound"]["epsilon"] = 2.8049
  sentence = verdict(attack, None)
  assert "not clearly more than guessing;" not in sentence
  assert sentence.endswith("do leak: epsilon is at least 2.804.")


def test_what_is_found_in_nothing_is_a_fault_of_the_audit(attack):
  assert notes(attack) == []
  dummies = attack["dummies"]["attacks"][0]["tpr_at_fpr"]["0.001"]
  dummies |= {"value": 0.031, "low": 0.0013}
  (note,) = notes(attack)
  assert "3.10% at 0.1% FPR, where guessing gives 0.12%" in note
  assert "do not trust" in note
  del attack["dummies"]
  assert notes(attack) == []


def test_few_models_and_few_examples_are_said(attack):
  few = copy.deepcopy(attack)
  few["canaries"] |= {"models": 8, "nonmembers": 400, "smallest_fpr": 1 / 400}
  coarse, models = notes(few)
  assert "400 non-members of the canaries cannot resolve" in coarse
  assert "compared with 7 other models" in models
