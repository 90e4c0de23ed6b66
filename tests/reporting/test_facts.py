"""What a report says of the run and of its cost."""

import pytest

from syndata_jax.reporting import facts

HEADLINE = dict(attack="lira", score="hinge", variance="global", views=2)


@pytest.fixture
def training():
  return {
    "dataset": "digits",
    "paradigm": "coreset",
    "model": "convnet",
    "canary_kind": "mislabelled",
    "num_epochs": 30,
    "settings": {"seed": 3, "method": "forgetting", "fraction": 0.4},
    "data_folder": None,
    "num_images": 1437,
    "num_own_images": 1237,
    "num_canaries": 200,
    "canary_share": 100 / 1237,
    "date": "2026-11-25",
    "versions": {"syndata_jax": "0.2.0", "jax": "0.10.2"},
    "device": "2 x cpu",
    "devices": 2,
    "accelerated": False,
    "test_accuracy": [0.9],
    "hours": 2 * 620 / 3600,
    "wall_seconds": None,
    "images_per_second": 4000.0,
    "utilisation": None,
  }


def test_what_was_run(training):
  assert facts.setting(HEADLINE, training) == {
    "Models": ["digits, coreset, convnet, 30 epochs"],
    "Settings": ["seed=3, method=forgetting, fraction=0.4"],
    "Data": ["digits: 1,437 training images, 1,237 of them in a model's data"],
    "Canaries": ["200 mislabelled images, 8.08% of a model's data"],
    "Run": ["2026-11-25, syndata_jax 0.2.0, jax 0.10.2"],
    "Attack": ["LiRA, hinge score, global variance, 2 views"],
  }
  training |= {"data_folder": "own scans", "date": None, "versions": {}}
  told = facts.setting(HEADLINE, training)
  assert told["Data"][0].startswith("own scans: 1,437 training images")
  assert "Run" not in told


def test_what_a_person_says_replaces_nothing(training):
  given = {"title": None, "facts": {"Data": "clinic A", "n": 3}, "notes": []}
  told = facts.setting(HEADLINE, training, given)
  assert told["Data"][0].startswith("digits: 1,437")
  assert told["Data (as given)"] == ["clinic A"]
  assert list(told)[-1] == "n" and told["n"] == ["3"]
  assert facts.setting(HEADLINE, None, given)["Data"] == ["clinic A"]


@pytest.mark.parametrize(
  ("share", "warned"), [(0.05, False), (0.0501, True), (None, False)]
)
def test_a_warning_where_canaries_are_many(training, share, warned):
  training["canary_share"] = share
  note = facts.canary_note(training)
  assert (note is not None) == warned
  if warned:
    assert "5.01% of a model's data; above 5%" in note
  assert facts.canary_note(None) is None


def test_cores_are_not_accelerators(training):
  told = facts.efficiency(training)
  assert told == {
    "Efficiency": [
      "10 min 20 s on 2 CPU cores",
      "4,000 images/s, peak of this device unknown",
    ]
  }
  training["wall_seconds"] = 671.0
  assert facts.efficiency(training)["Efficiency"][0] == (
    "11 min 11 s on 2 CPU cores"
  )
  training |= {"devices": 1}
  assert facts.efficiency(training)["Efficiency"][0] == "11 min 11 s on the CPU"


def test_wall_time_stands_beside_the_time_of_accelerators(training):
  training |= {
    "accelerated": True,
    "devices": 8,
    "device": "8 x NVIDIA H100",
    "hours": 4.0,
    "wall_seconds": 2000.0,
    "utilisation": 0.25,
  }
  assert facts.efficiency(training) == {
    "Efficiency": [
      "33 min 20 s from start to end, 4.00 accelerator hours",
      "4,000 images/s, model FLOP utilisation 25.0%",
    ],
    "Device": ["8 x NVIDIA H100"],
  }
  training["wall_seconds"] = None  # a run of an earlier version
  assert facts.efficiency(training)["Efficiency"][0].startswith("30 min 00 s")
