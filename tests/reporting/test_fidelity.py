"""Lines about the quality of images."""

from syndata_jax.reporting.fidelity import fidelity


def figure(*models, deviation=0.0):
  mean = sum(models) / len(models)
  return {"mean": mean, "deviation": deviation, "models": list(models)}


def record(**changed):
  synthetic = {
    "frechet_distance": figure(0.25, 0.35, deviation=0.0707),
    "precision": figure(0.5, 0.6),
    "recall": figure(0.2, 0.4),
    "density": figure(1.5, 0.5),
    "coverage": figure(0.7, 0.9),
  }
  members = dict.fromkeys(synthetic, figure(0.9))
  members["frechet_distance"] = figure(0.04)
  return {
    "spaces": {"features": {"synthetic": synthetic, "members": members}},
    "classifier": {
      "accuracy": figure(0.91, 0.93, deviation=0.0141),
      "last_accuracy": figure(0.9, 0.92),
      "chosen_epoch": figure(17.0, 20.0),
      "num_epochs": 20,
      "images": 1000,
      "held_out": 100,
    },
    "images": 1000,
    "held_out": 5000,
    "matched": 1000,
    "neighbours": 3,
  } | changed


def test_nothing_was_measured():
  assert fidelity(None) == {}


def test_every_line_names_its_space_and_its_numbers():
  assert fidelity(record()) == {
    "Fidelity": [
      "features: FID 0.3, standard deviation 0.071 (members 0.04)",
      "features: precision 55.0% (90.0%), recall 30.0% (90.0%),"
      " coverage 80.0% (90.0%); 3 neighbours",
      "1,000 images of each model against 5,000 held-out test images",
    ],
    "Classifier": [
      "test accuracy 92.00%, standard deviation 1.41%, a small network on"
      " 1,000 images alone",
      "epoch chosen on 100 of them that were held out; last epoch 91.00%",
    ],
  }


def test_too_few_images_leave_lines_out():
  few = record()
  few["spaces"]["features"]["synthetic"] = dict.fromkeys(
    few["spaces"]["features"]["synthetic"]
  )
  few["classifier"]["held_out"] = 0
  lines = fidelity(few)
  assert len(lines["Fidelity"]) == 1
  assert lines["Classifier"][0].endswith("alone, last epoch")
