"""Claimed and found epsilon, in audits with many models and with one."""

import io

import numpy as np
import pytest
from rich.console import Console

from syndata_jax.reporting import Guarantee, render, render_text
from syndata_jax.reporting.html import render_html
from syndata_jax.rounding import rounded_down, rounded_up

_BOUND = dict(
  epsilon=3.21987,
  neighbours="add_or_remove_one",
  delta=1e-5,
  confidence=0.95,
  coins=500,
  guesses=125,
  correct=122,
  largest=4.79261,
  premise="assumes that each example was included by a fair coin of its own",
)
_LINES = ["epsilon 8 at delta 1e-05", "mechanism: a very quiet one"]


def _figure(value):
  return {"value": value, "low": value - 0.01, "high": value + 0.01}


def _population(examples, auc, tpr):
  levels = ("0.001", "0.002", "0.005", "0.01", "0.02", "0.05")
  record = dict(attack="threshold", score="hinge", variance=None, views=9)
  record |= {"auc": _figure(auc), "balanced_accuracy": _figure(0.6)}
  record["tpr_at_fpr"] = {key: _figure(tpr) for key in levels}
  return {
    "examples": examples,
    "models": 1,
    "views": 9,
    "members": examples // 2,
    "nonmembers": examples - examples // 2,
    "smallest_fpr": 1 / (examples - examples // 2),
    "attacks": [record],
  }


@pytest.fixture
def one_run():
  first = _population(500, 0.7654, 0.1234)
  return {
    "audit": "one_run",
    "headline": {
      name: first["attacks"][0][name]
      for name in ("attack", "score", "variance", "views")
    },
    "epsilon_bound": dict(_BOUND),
    "canaries": first,
    "average": _population(200, 0.5432, 0.0555),
  }


def _rows(text, start):
  lines = [" ".join(line.split()) for line in text.splitlines()]
  return [line for line in lines if line.startswith(start)]


@pytest.mark.parametrize("width", [80, 100])
def test_claimed_beside_found(one_run, width):
  console = Console(file=io.StringIO(), width=width)
  render(one_run, None, console, Guarantee(_LINES, 8.00001))
  text = console.file.getvalue()
  assert max(map(len, text.splitlines())) <= width
  assert _rows(text, "one example") == [
    "one example added or removed 8.001 3.219 4.793 122 of 125"
  ]
  for line in _LINES:
    assert line in text
  assert "broken" not in text


def _flat(text):
  return " ".join(text.split())


@pytest.mark.parametrize(
  ("claim", "refutable"),
  [(4.79, True), (4.79261, False), (float("inf"), False)],
)
def test_a_claim_beyond_reach_is_called_so(one_run, claim, refutable):
  text = _flat(render_text(one_run, None, Guarantee(_LINES, claim)))
  assert (
    "The bound assumes that each example was included by a fair coin of its "
    "own."
  ) in text
  sentence = (
    f"The claim of {rounded_up(claim)} is not refutable at this size: guesses "
    "that are all correct show no more than 4.793."
  )
  assert (sentence in text) != refutable
  assert ("not refutable" in text) != refutable
  assert "not refutable" not in render_text(one_run, None)
  assert "checked" not in text


def test_without_a_bound(one_run):
  reason = "400 of 500 entries are members (80%), which fair coins do not give"
  one_run["epsilon_bound"] |= dict(
    epsilon=0.0,
    coins=0,
    guesses=0,
    correct=0,
    largest=0.0,
    premise=f"no bound: {reason}",
  )
  text = render_text(one_run, None, Guarantee(_LINES, 8.0))
  assert _rows(text, "one example") == [
    "one example added or removed 8 no bound"
  ]
  assert f"No bound on epsilon can be stated: {reason}." in _flat(text)
  assert (
    f"No bound: {reason}. The claim of 8 is not refutable without"
    in _flat(text)
  )
  exposure = dict.fromkeys(
    ["row", "label", "recognised", "recognised_at_1_percent"], np.zeros(0)
  ) | dict(score_in=np.zeros(0), score_out=np.zeros(0))
  html = render_html(one_run, None, Guarantee(_LINES, 8.0), exposure)
  assert f"No bound: {reason}." in html


def test_nothing_claimed_and_nothing_found(one_run):
  one_run["epsilon_bound"] |= {"epsilon": 0.0, "guesses": 0, "correct": 0}
  one_run["epsilon_bound"]["neighbours"] = "replace_one"
  text = render_text(one_run, None)
  assert _rows(text, "one example replaced") == [
    "one example replaced none 0 4.793 chance, of 500"
  ]
  assert "no more of them than chance explains" in " ".join(text.split())
  assert "Guarantee" not in text


@pytest.mark.parametrize("claim", [3.21987, float("inf")])
def test_a_claim_that_is_reached_is_not_broken(one_run, claim):
  text = render_text(one_run, None, Guarantee(_LINES, claim))
  assert "is broken" not in text


def test_a_broken_guarantee_stands_at_the_top(one_run):
  text = render_text(one_run, None, Guarantee(_LINES, 3.2198))
  sentence = (
    "The guarantee is broken: epsilon is at least 3.219, but 3.22 is claimed."
  )
  flat = " ".join(text.split())
  assert sentence in flat
  assert flat.index(sentence) < flat.index("Attack")


def test_the_table_of_one_run(one_run):
  text = render_text(one_run, None)
  assert _rows(text, "canaries") == [
    "canaries 0.765 0.755 to 0.775 12.3% 11.3% to 13.3%"
  ]
  assert _rows(text, "average case") == [
    "average case 0.543 0.533 to 0.553 5.55% 4.55% to 6.55%"
  ]
  assert "teacher" not in text
  flat = " ".join(text.split())
  assert (
    "500 coins decided which canaries the model was trained on. The attack is "
    "right about 122 of the 125 that it is surest of: epsilon is at least "
    "3.219."
  ) in flat
  assert "threshold, hinge score, 9 views" in flat
  del one_run["average"]
  assert "verage" not in render_text(one_run, None)


def test_another_network_of_one_run(one_run):
  other = _population(500, 0.6543, 0.3456)["attacks"][0]
  one_run["others"] = {"teacher": other}
  text = render_text(one_run, None)
  first = _rows(text, "canaries")[0]
  assert _rows(text, "teacher: canaries") == [
    "teacher: canaries 0.654 0.644 to 0.664 34.6% 33.6% to 35.6%"
  ]
  lines = [" ".join(line.split()) for line in text.splitlines()]
  assert lines[lines.index(first) + 1].startswith("teacher: canaries")


@pytest.mark.parametrize(
  ("value", "down", "up"),
  [
    (0.0, "0", "0"),
    (8.0, "8", "8"),
    (1.00049, "1", "1.001"),
    (0.123456, "0.1234", "0.1235"),
    (123456.0, "1.234e+05", "1.235e+05"),
    (9.99999, "9.999", "10"),
    (float("inf"), "inf", "inf"),
  ],
)
def test_bounds_are_rounded_to_the_safe_side(value, down, up):
  assert (rounded_down(value), rounded_up(value)) == (down, up)
