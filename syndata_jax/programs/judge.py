"""The second half of an audit: from logits to the report."""

import pathlib
from typing import Any

import numpy as np
from rich.console import Console

from syndata_jax import attack, reporting
from syndata_jax.attack import PredictionFile, Predictions
from syndata_jax.programs.workdir import (
  read_json,
  read_metrics,
  write_json,
  write_text,
)


def judge(workdir: pathlib.Path, console: Console) -> None:
  """Attacks `predictions.npz` and writes and prints the report."""
  file = attack.load_predictions(workdir / "predictions.npz")
  result = workdir / "attack.json"
  if not result.exists():
    with console.status("Attacking all models"):
      write_json(result, attack.attack(file))
  found = read_json(result)
  training = training_summary(workdir, file)
  write_text(workdir / "report.txt", reporting.render_text(found, training))
  _draw(workdir, file, training)
  reporting.render(found, training, console)
  console.print(f"Everything is in {workdir}", highlight=False)


def training_summary(
  workdir: pathlib.Path, file: PredictionFile
) -> dict[str, Any] | None:
  """What training cost and achieved; None for logits from elsewhere."""
  epochs = read_metrics(workdir)
  if not epochs or file.test_accuracy is None:
    return None
  config = read_json(workdir / "config.json")
  machine = read_json(workdir / "machine.json")
  seconds = machine["synthesize_seconds"] + sum(e["seconds"] for e in epochs)
  # The median epoch: without the first one's compilation.
  speed = float(np.median([e["images"] / e["seconds"] for e in epochs]))
  peak = machine["peak_flops"]
  return {
    "dataset": config["dataset"],
    "paradigm": config["paradigm"],
    "model": config["model"],
    "canary_kind": config["canary_kind"],
    "num_epochs": config["num_epochs"],
    "device": f"{machine['devices']} x {machine['device']}",
    "test_accuracy": file.test_accuracy.tolist(),
    "hours": seconds * machine["devices"] / 3600,
    "images_per_second": speed,
    "utilisation": (
      speed * machine["training_flops_per_image"] / peak / machine["devices"]
      if peak
      else None
    ),
  }


def _draw(
  workdir: pathlib.Path,
  file: PredictionFile,
  training: dict[str, Any] | None,
) -> None:
  populations = {"canaries": file.canaries}
  if file.average is not None:
    populations["average case"] = file.average
  curves = [
    (f"LiRA, {name}", attack.headline_scores(found), found.membership)
    for name, found in populations.items()
  ]
  canaries, control = file.canaries, attack.shuffled(file.canaries)
  curves += [
    (
      "Global threshold",
      attack.global_threshold(_logit_scores(canaries)),
      canaries.membership,
    ),
    (
      "LiRA, shuffled membership",
      attack.headline_scores(control),
      control.membership,
    ),
  ]
  title = "Logits from a file"
  if training:
    title = "{dataset}, {paradigm}, {model}".format_map(training)
  models = file.canaries.membership.shape[1]
  title += f": {models} models, {len(file.canaries.labels)} canaries"
  reporting.roc_figure(workdir / "roc.png", curves, title)
  # With y the label, -log p_y = log(1 + exp(-logit score)).
  losses = [
    (name, np.logaddexp(0, -_logit_scores(found)[:, :, 0]), found.membership)
    for name, found in populations.items()
  ]
  reporting.loss_figure(workdir / "losses.png", losses, title)


def _logit_scores(predictions: Predictions) -> np.ndarray:
  return attack.logit_score(
    predictions.logits, predictions.labels[:, None, None]
  )
