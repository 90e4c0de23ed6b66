"""What images give away, as a person reads it."""

import io
import re

import numpy as np
import pytest
from rich.console import Console

from syndata_jax.attack import released
from syndata_jax.reporting import Pairs, exposed, images
from syndata_jax.reporting.pairs import draw_pairs, pairs_sheet
from syndata_jax.reporting.verdict import notes, verdict

LEVELS = ("0.001", "0.002", "0.005", "0.01", "0.02", "0.05")
CHANCE = dict(
  zip(LEVELS, (0.00125, 0.0022, 0.0053, 0.0103, 0.0203, 0.0503), strict=True)
)


def _figure(value, margin=0.01):
  low, high = max(value - margin, 0.0), min(value + margin, 1.0)
  return {"value": value, "low": low, "high": high}


def _rates(value):
  return {"tpr_at_fpr": {level: _figure(value) for level in LEVELS}}


def _attack(headline=0.001, by_images=0.4, on_dummies=0.001):
  record = {
    "attack": "lira",
    "score": "hinge",
    "variance": "shrunk",
    "views": 1,
  }
  population = {
    "models": 32,
    "nonmembers": 3200,
    "smallest_fpr": 1 / 3200,
    "chance": CHANCE,
    "attacks": [record | _rates(headline)],
    "corrected": {
      level: {"attack": 0, "value": headline, "low": 0.0} for level in LEVELS
    },
  }
  distance = {"members": 1.25, "nonmembers": 1.5}
  space = {
    "canaries": _rates(by_images) | {"distance": distance},
    "dummies": _rates(on_dummies),
  }
  return {
    "canaries": population,
    "dummies": population,
    "epsilon_bound": {"epsilon": 0.0},
    "others": {"teacher": record | _rates(0.9)},
    "images": {
      "pixels": space,
      "features_of_label": space,
      "teacher": space,
    },
    "images_corrected": {
      level: {
        "space": "features_of_label",
        "value": by_images,
        "low": by_images - 0.02,
        "choices": 12,
      }
      for level in LEVELS
    },
  }


def _record(models=32, nearer=0.7):
  shares = {
    "threshold": 0.5,
    "heldout_stands_out": 0.031,
    "near_copies": _figure(0.123),
    "stands_out": _figure(0.456),
    "near_copies_of_members": _figure(0.05),
    "near_copies_of_nonmembers": _figure(0.0),
    "nearer_to_members": _figure(nearer),
  }
  return {
    "images": 100,
    "models": models,
    "heldout": 176,
    "expected": 0.0113,
    "audited": 10,
    "spaces": {"pixels": shares, "features": shares},
  }


def test_rows_beside_those_of_the_models():
  names = [name for name, _ in images.records(_attack(), "canaries")]
  assert names == [
    "  images: pixels",
    "  images: features+label",
    "  teacher's logits on images",
  ]
  assert not list(images.records({"canaries": {}}, "canaries"))


@pytest.mark.parametrize("models", [32, 1])
def test_every_share_stands_beside_what_honest_images_give(models):
  file = io.StringIO()
  console = Console(file=file, width=80)
  console.print(images.copies_table(_record(models)), crop=False)
  text = file.getvalue()
  assert all(len(line) <= 80 for line in text.splitlines())
  lines = {" ".join(line.split()) for line in text.splitlines()}
  interval = " 11.3% to 13.3%" if models > 1 else ""
  assert f"pixels: near-copies of a member 12.3%{interval} 1.13%" in lines
  interval = " 69.0% to 71.0%" if models > 1 else ""
  assert f"nearest audited: a member 70.0%{interval} 50.0%" in lines
  interval = " 44.6% to 46.6%" if models > 1 else ""
  assert f"one neighbour stands out 45.6%{interval} 3.10%" in lines


def test_the_widest_shares_fit_80_columns():
  record = _record()
  for shares in record["spaces"].values():
    shares |= {"near_copies": {"value": 0.9999, "low": 0.9998, "high": 0.9999}}
  file = io.StringIO()
  console = Console(file=file, width=80)
  console.print(images.copies_table(record), crop=False)
  (line,) = re.findall("features: .*", file.getvalue())
  assert ">99.9% to >99.9%" in line and line.split()[-1] == "1.13%"
  assert all(len(each) <= 80 for each in file.getvalue().splitlines())


def test_what_was_compared_is_said():
  (lines,) = images.copies_facts(_record(), _attack()).values()
  text = " ".join(lines)
  assert "32 sets of 100 images" in text and "176 held-out real images" in text
  assert "pixels 1.25 and 1.5" in text


def test_a_note_needs_copies_and_members():
  """Blurred images are near to everything, but no nearer to members."""
  assert "12.3% of the synthetic images" in images.copies_note(_record())
  blurred = _record(nearer=0.505)
  assert "12.3% of the synthetic images" in images.copies_note(blurred)
  for shares in blurred["spaces"].values():
    shares["near_copies_of_nonmembers"] = _figure(0.04)
  assert images.copies_note(blurred) is None
  assert images.copies_note(_record(models=1)) is None
  assert images.copies_note(None) is None


def test_the_verdict_hears_the_images():
  sentence = verdict(_attack(), None)
  assert "not clearly more than guessing. The released images alone" in sentence
  assert "in features among those of their label, 40.0%" in sentence
  assert "corrected for the choice of one among 12" in sentence
  # Beside a headline that is clear, too; and not where images show nothing.
  assert "recognises 90.0%" in verdict(_attack(headline=0.9), None)
  assert "The released images alone" in verdict(_attack(headline=0.9), None)
  nothing = verdict(_attack(by_images=0.001), None)
  assert "images alone" not in nothing and "a stronger attack" in nothing


def test_dummies_that_images_find_are_a_fault_of_the_audit():
  assert not any("dummy" in note for note in notes(_attack()))
  (note,) = (n for n in notes(_attack(on_dummies=0.2)) if "dummy" in n)
  assert "20.0%" in note and "do not trust" in note


def test_columns_of_each_example_in_its_order(tmp_path):
  random = np.random.default_rng(0)
  membership = np.tile(np.arange(8) < 4, (20, 1))
  closeness = -random.uniform(1, 2, (20, 8)).astype(np.float32)
  closeness[3, :4] = 0
  row = random.permutation(20)
  columns = exposed.through_images("pixels", closeness, membership, row)
  inside = -closeness[:, :4].mean(axis=1)[row]
  np.testing.assert_allclose(columns["pixels_distance_in"], inside, rtol=1e-5)
  outside = -closeness[:, 4:].mean(axis=1)[row]
  np.testing.assert_allclose(columns["pixels_distance_out"], outside, rtol=1e-5)
  best = released.as_predictions(closeness, membership)
  assert best.logits.shape == (20, 8, 1, 2)
  assert columns["pixels_recognised"][row.tolist().index(3)] == 1

  table = {"row": row, "label": row, "recognised": inside} | columns
  exposed.write_csv(tmp_path / "canaries.csv", table)
  header, *lines = (tmp_path / "canaries.csv").read_text().splitlines()
  assert header.endswith(
    ",pixels_recognised,pixels_distance_in,pixels_distance_out"
  )
  assert len(lines) == 20 and lines[0].endswith(f"{outside[0]:.6g}")


def test_closest_pairs_side_by_side(tmp_path):
  random = np.random.default_rng(1)
  picture = lambda count: random.integers(0, 256, (count, 8, 6, 1), np.uint8)
  pairs = {
    name: Pairs(
      picture(count),
      picture(count),
      np.linspace(0, 2, count, dtype=np.float32),
      np.full(count, 0.5, np.float32),
      np.zeros(count, np.int32),
      np.arange(count, dtype=np.int32),
    )
    for name, count in (("pixels", 23), ("features", 3))
  }
  axes = draw_pairs(pairs).axes[0]
  assert len(axes.images) == 2 * (20 + 3)
  left, right = axes.images[2:4]  # the second pair
  np.testing.assert_array_equal(
    left.get_array()[..., 0], pairs["pixels"].synthetic[1, ..., 0]
  )
  np.testing.assert_array_equal(
    right.get_array()[..., 0], pairs["pixels"].private[1, ..., 0]
  )
  assert left.get_extent()[1] < right.get_extent()[0]
  texts = [text.get_text() for text in axes.texts]
  assert texts[0] == "in pixels: 6 of 20 are near-copies"
  assert texts[1] == "image 0\na copy"
  assert texts[3] == "image 2\n0.36 of threshold"
  pairs_sheet(tmp_path / "pairs.png", pairs)
  assert (tmp_path / "pairs.png").stat().st_mode & 0o777 == 0o600
