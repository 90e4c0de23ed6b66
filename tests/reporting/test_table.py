"""The printed report: every number exact, no line too long."""

import copy
import io

import pytest
from rich.console import Console

from syndata_jax.reporting import render, render_text

LEVELS = ("0.001", "0.002", "0.005", "0.01", "0.02", "0.05")
DUMMIES = [0.0013, 0.0025, 0.0055, 0.0107, 0.0205, 0.0505]


def figure(value, margin):
  low, high = max(value - margin, 0), min(value + margin, 1)
  return {"value": value, "low": low, "high": high}


def record(attack, score, variance, views, tprs, margin=0.0007):
  names = dict(attack=attack, score=score, variance=variance, views=views)
  tprs = {key: figure(v, margin) for key, v in zip(LEVELS, tprs, strict=True)}
  rest = {"auc": figure(0.9876, 0), "balanced_accuracy": figure(0.9543, 0)}
  return {**names, "tpr_at_fpr": tprs, **rest}


def population(first, nonmembers=8000):
  chosen = [
    ("lira", score, variance, views)
    for views in (18, 1)
    for score in ("hinge", "logit")
    for variance in ("per_example", "global")
  ]
  chosen += [("threshold", score, None, 1) for score in ("hinge", "logit")]
  # A distinct TPR in every cell: 0.0110, 0.0111, ...
  cells = [[0.011 + 1e-4 * (6 * i + j) for j in range(6)] for i in range(10)]
  cells[0] = first
  return {
    "examples": 500,
    "models": 32,
    "views": 18,
    "members": 8000,
    "nonmembers": nonmembers,
    "smallest_fpr": 1 / nonmembers,
    "chance": {
      key: (int(float(key) * nonmembers + 1e-9) + 1) / (nonmembers + 1)
      for key in LEVELS
    },
    "corrected": {
      key: {"value": value, "low": value, "attack": 0}
      for key, value in zip(LEVELS, first, strict=True)
    },
    "attacks": [
      record(*c, tprs) for c, tprs in zip(chosen, cells, strict=True)
    ],
  }


@pytest.fixture
def attack():
  return {
    "audit": "shadow_models",
    "headline": dict(
      attack="lira", score="hinge", variance="per_example", views=18
    ),
    "epsilon_bound": dict(
      epsilon=3.21987,
      neighbours="replace_one",
      delta=1e-5,
      confidence=0.95,
      coins=8000,
      guesses=1000,
      correct=981,
      largest=5.85,
      premise="assumes that coins are fair",
    ),
    "canaries": population([0.998, 0.9981, 0.9987, 0.99975, 1.0, 1.0]),
    "average": population([0.1336, 0.15, 0.18, 0.2113, 0.25, 0.33]),
    "dummies": population(DUMMIES),
  }


@pytest.fixture
def training():
  return {
    "dataset": "cifar10",
    "paradigm": "undefended",
    "model": "resnet18",
    "canary_kind": "mislabelled",
    "num_epochs": 200,
    "device": "1 x NVIDIA H100 80GB HBM3",
    "test_accuracy": [0.94, 0.95, 0.96],
    "hours": 0.92,
    "images_per_second": 97431.4,
    "utilisation": 0.3124,
  }


def rendered(attack, training, width, **options):
  console = Console(file=io.StringIO(), width=width, **options)
  render(attack, training, console)
  return console.file.getvalue()


def rows(text, start):
  """Every line that begins with the words `start`, single-spaced."""
  lines = [" ".join(line.split()) for line in text.splitlines()]
  return [line for line in lines if f"{line} ".startswith(f"{start} ")]


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("terminal", [False, True])
def test_headline_is_exact_and_no_line_is_too_long(
  attack, training, width, terminal
):
  text = rendered(
    attack, training, width, force_terminal=terminal, color_system=None
  )
  assert max(map(len, text.splitlines())) <= width
  assert "…" not in text
  assert rows(text, "canaries") == [
    "canaries 99.8% 99.7% to 99.9% >99.9% 99.9% to 100.0%"
  ]
  assert rows(text, "average case") == [
    "average case 13.4% 13.3% to 13.4% 21.1% 21.1% to 21.2%"
  ]
  assert rows(text, "dummies (in no model)") == [
    "dummies (in no model) 0.13% 0.06% to 0.20% 1.07% 1.00% to 1.14%"
  ]
  # Nine of 8,001, and 81.
  assert rows(text, "guessing") == ["guessing 0.1125% 1.012%"]
  assert "huffled" not in text
  for fact in (
    "cifar10, undefended, resnet18, 200 epochs",
    "LiRA, hinge score, per-example variance, 18 views",
    "test accuracy 95.00%, standard deviation 1.00% over 3 models",
    "55 min 12 s of accelerator time",
    "97,431 images/s, model FLOP utilisation 31.2%",
    "Device 1 x NVIDIA H100 80GB HBM3",
    "500 examples, 32 models, 8,000 members, 8,000 non-members",
  ):
    assert fact in " ".join(text.split())


def test_the_widest_figures_fit_80_columns(attack):
  sure = {"value": 0.9999, "low": 0.9997, "high": 1.0}
  for name in ("canaries", "average", "dummies"):
    for key in ("0.001", "0.01"):
      attack[name]["attacks"][0]["tpr_at_fpr"][key] = sure
  text = rendered(attack, None, 80)
  assert max(map(len, text.splitlines())) <= 80
  whole = "dummies (in no model)" + 2 * " >99.9% >99.9% to 100.0%"
  assert rows(text, "dummies") == [whole]


def test_every_variant_has_its_row(attack, training):
  text = rendered(attack, training, 120)
  table = text.split("Average case:")[1]
  assert rows(table, "LiRA hinge per example")[0] == (
    "LiRA hinge per example 18 13.4% 15.0% 18.0% 21.1% 25.0% 33.0% 0.988 95.4%"
  )
  assert rows(table, "LiRA logit global")[1] == (
    "LiRA logit global 1 1.52% 1.53% 1.54% 1.55% 1.56% 1.57% 0.988 95.4%"
  )
  assert rows(table, "threshold logit") == [
    "threshold logit - 1 1.64% 1.65% 1.66% 1.67% 1.68% 1.69% 0.988 95.4%"
  ]
  assert len(rows(table, "LiRA")) == 8


@pytest.mark.parametrize("width", [30, 60, 80])
def test_a_narrow_table_loses_columns_but_no_digits(attack, width):
  text = rendered(attack, None, width)
  assert rows(text, "LiRA logit global 18 1.28%")
  assert "…" not in text


def test_verdict_says_what_was_measured(attack, training):
  text = " ".join(render_text(attack, training).split())
  assert (
    "Of the mislabelled images a model was trained on, the attack recognises "
    "99.8% with at most one false alarm in a thousand."
  ) in text
  assert "Note:" not in text


def test_a_tpr_whose_interval_holds_the_fpr_is_called_guessing(attack):
  tpr = attack["canaries"]["attacks"][0]["tpr_at_fpr"]
  tpr["0.001"] = {"value": 0.002, "low": 0.0011, "high": 0.004}
  attack["epsilon_bound"]["epsilon"] = 0.0
  for best in attack["canaries"]["corrected"].values():
    best["low"] = 0.001
  sentence = "not clearly more than guessing;"
  assert sentence in " ".join(render_text(attack, None).split())
  tpr["0.001"]["low"] = 0.0012
  assert sentence not in " ".join(render_text(attack, None).split())


def test_logits_from_a_file_have_no_training(attack):
  text = render_text(attack, None)
  assert "Of the canaries a model was trained on" in " ".join(text.split())
  for absent in ("Utility", "Efficiency", "Device", "Models"):
    assert absent not in text


def test_what_is_not_known_has_no_row(attack):
  del attack["dummies"]
  assert "dumm" not in render_text(attack, None)


def test_what_came_with_logits_from_elsewhere_is_printed(attack):
  given = {
    "title": "Private [b]faces[/b], run 7",
    "facts": {"Noise multiplier": 1.3, "Trained by": "the vendor"},
    "notes": ["probabilities, taken as such"],
  }
  text = render_text(attack, None, given=given)
  heading = text.splitlines()[0]
  assert "Privacy audit: Private [b]faces[/b], run 7" in heading
  assert rows(text, "Noise multiplier") == ["Noise multiplier 1.3"]
  assert rows(text, "Trained by") == ["Trained by the vendor"]
  assert rows(text, "Note:") == ["Note: probabilities, taken as such"]
  plain = render_text(attack, None, given=given | {"title": None})
  assert "Privacy audit:" not in plain


def test_average_case_may_be_absent(attack, training):
  del attack["average"]
  assert "verage" not in render_text(attack, training)


def test_too_few_nonmembers_are_named(attack, training):
  attack["canaries"]["nonmembers"] = 400
  attack["canaries"]["smallest_fpr"] = 1 / 400
  text = " ".join(render_text(attack, training).split())
  assert (
    "the 400 non-members of the canaries cannot resolve an FPR of 0.1%; one "
    "false positive is already 0.25%"
  ) in text
  assert "99.9% with at most five false alarms in a thousand" in text
  assert "of the average case cannot" not in text


def test_exactly_one_thousand_nonmembers_are_enough(attack):
  attack["canaries"]["nonmembers"] = 1000
  attack["canaries"]["smallest_fpr"] = 1 / 1000
  assert "cannot resolve" not in render_text(attack, None)


def test_no_verdict_where_no_level_is_resolved(attack):
  attack["canaries"]["nonmembers"] = 12
  attack["canaries"]["smallest_fpr"] = 1 / 12
  assert "No verdict: 12 non-members are too few" in render_text(attack, None)


def test_an_audit_that_finds_dummies_is_at_fault(attack):
  tpr = attack["dummies"]["attacks"][0]["tpr_at_fpr"]["0.001"]
  assert "at fault" not in render_text(attack, None)
  tpr |= {"value": 0.05, "low": 0.01, "high": 0.09}
  assert "in the audit is at fault" in " ".join(
    render_text(attack, None).split()
  )


def test_one_model_has_no_standard_deviation(attack, training):
  training |= {"test_accuracy": [0.9012], "utilisation": None, "hours": 1.257}
  text = render_text(attack, training)
  assert "test accuracy 90.12% (1 model)" in text
  assert "peak of this device unknown" in text
  assert "1.26 accelerator hours" in text


@pytest.fixture
def selection():
  rates = {key: 0.9 for key in LEVELS}
  return {
    "share": [0.4, 0.5, 0.6],
    "selected": rates | {"0.001": 1.0},
    "unselected": {key: 0.0125 for key in LEVELS},
  }


@pytest.mark.parametrize("chosen_as", ["selected", "in the first images"])
@pytest.mark.parametrize("width", [80, 100])
def test_chosen_canaries_are_called_what_their_paradigm_calls_them(
  attack, training, selection, chosen_as, width
):
  attack["selection"] = selection
  training["chosen_as"] = chosen_as
  text = rendered(attack, training, width)
  assert max(map(len, text.splitlines())) <= width
  flat = " ".join(text.split())
  assert (
    f"Chosen 50.0% of a model's own canaries are {chosen_as}, standard"
    " deviation 10.00%"
  ) in flat
  assert "Selection" not in text and "Initial images" not in text
  # A name of several lines has its numbers on the first.
  first, second = rows(text, "of these,")
  assert first.endswith(" 100.0% 90.0%") and second.endswith(" 1.25% 1.25%")
  words = [word for word in flat.split() if "%" not in word]
  names = " ".join(words)
  assert f"of these, {chosen_as} of these, not {chosen_as} average" in names
  lines = [" ".join(line.split()) for line in text.splitlines()]
  assert lines.index(first) == lines.index(rows(text, "canaries")[0]) + 1


def test_chosen_canaries_of_logits_from_a_file_are_selected(attack, selection):
  attack["selection"] = selection | {"unselected": None}
  text = render_text(attack, None)
  assert rows(text, "of these, selected") == ["of these, selected 100.0% 90.0%"]
  assert "not selected" not in text
  # A model that owns no canary has no share.
  attack["selection"]["share"] = [0.4, None, 0.6]
  assert "50.0% of a model's own canaries are selected, standard deviation" in (
    " ".join(render_text(attack, None).split())
  )
  attack["selection"]["share"] = [None]
  assert "no model owns a canary" in render_text(attack, None)
  del attack["selection"]
  assert "Chosen" not in render_text(attack, None)


def test_another_network_stands_below_the_canaries(attack, training):
  names = ("lira", "hinge", "per_example", 18)
  tprs = [0.5, 0.5, 0.5, 0.6, 0.6, 0.6]
  attack["others"] = {
    "teacher": record(*names, tprs, margin=0.01),
    "a_network_with_a_long_name": record(*names, tprs),
  }
  training["other_accuracy"] = {"teacher": [0.7, 0.8, 0.9], "base": [0.25]}
  text = rendered(attack, training, 80)
  assert max(map(len, text.splitlines())) <= 80
  assert rows(text, "teacher: canaries") == [
    "teacher: canaries 50.0% 49.0% to 51.0% 60.0% 59.0% to 61.0%"
  ]
  assert rows(text, "a_network_with_a_long_name:"[:24]) == [
    "a_network_with_a_long_na 50.0% 49.9% to 50.1% 60.0% 59.9% to 60.1%"
  ]
  lines = [" ".join(line.split()) for line in text.splitlines()]
  (teacher,) = rows(text, "teacher: canaries")
  assert lines.index(teacher) == lines.index(rows(text, "canaries")[0]) + 1
  report = render_text(attack, training)
  lines = [" ".join(line.split()) for line in report.splitlines()]
  accuracies = [line for line in lines if "test accuracy" in line]
  assert accuracies == [
    "Utility test accuracy 95.00%, standard deviation 1.00% over 3 models",
    "teacher: test accuracy 80.00%, standard deviation 10.00% over 3 models",
    "base: test accuracy 25.00% (1 model)",
  ]
  # The verdict is about the released network alone.
  assert "recognises 99.8% with" in " ".join(text.split())


def test_names_are_text_and_not_markup(attack, training):
  training |= {"dataset": "/data/[red]faces[/red]", "device": "[bold]"}
  text = render_text(attack, training)
  assert "/data/[red]faces[/red]" in text
  assert "[bold]" in text


def test_report_text_is_plain_whatever_the_shell_asks(
  attack, training, monkeypatch
):
  monkeypatch.setenv("FORCE_COLOR", "1")
  before = copy.deepcopy(attack)
  text = render_text(attack, training)
  assert "\x1b" not in text
  assert max(map(len, text.splitlines())) <= 100
  assert all(line == line.rstrip() for line in text.splitlines())
  assert attack == before
