"""The second half of an audit: from logits to the report."""

import pathlib
from typing import Any

import numpy as np
from rich.console import Console

from syndata_jax import attack, reporting
from syndata_jax.attack import EpsilonBound, PredictionFile, Predictions
from syndata_jax.files import read_json, write, write_json
from syndata_jax.programs import guarantee
from syndata_jax.programs.shadows import FINAL
from syndata_jax.programs.workdir import read_metrics
from syndata_jax.reporting.formats import counted


def judge(workdir: pathlib.Path, console: Console) -> None:
  """Attacks `predictions.npz` and writes and prints the report.

  Raises:
    GuaranteeBroken: the attack has refuted the run's privacy statement; the
      report is there nevertheless.
  """
  file = attack.load_predictions(workdir / "predictions.npz")
  statement = guarantee.stated(workdir)
  result = workdir / "attack.json"
  if not result.exists():
    delta = attack.DEFAULT_DELTA if statement is None else statement.delta
    with console.status("Attacking all models"):
      write_json(result, attack.attack(file, delta=delta))
  found = read_json(result)
  bound = EpsilonBound(**found["epsilon_bound"])
  promised = guarantee.promised(statement, bound)
  training = training_summary(workdir, file)
  report = reporting.render_text(found, training, promised)
  write(workdir / "report.txt", report)
  _draw(workdir, file, training)
  reporting.render(found, training, console, promised)
  console.print(f"Everything is in {workdir}", highlight=False)
  if promised is not None:
    attack.check_claim(bound, promised.epsilon)


def training_summary(
  workdir: pathlib.Path, file: PredictionFile
) -> dict[str, Any] | None:
  """What training cost and achieved; None for logits from elsewhere."""
  epochs = [each for each in read_metrics(workdir) if each["stage"] == FINAL]
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
    "num_epochs": epochs[-1]["of"],
    "chosen_as": machine["chosen_as"],
    "other_accuracy": {
      name: other.test_accuracy.tolist()
      for name, other in file.others.items()
      if other.test_accuracy is not None
    },
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
  models = file.canaries.membership.shape[1]
  title = "Logits from a file"
  if training:
    title = "{dataset}, {paradigm}, {model}".format_map(training)
  title += f": {counted(models, 'model')}, {len(file.canaries.labels)} canaries"
  # With y the label, -log p_y = log(1 + exp(-logit score)).
  losses = [
    (name, np.logaddexp(0, -_logit_scores(found)[:, :, 0]), found.membership)
    for name, found in populations.items()
  ]
  reporting.loss_figure(workdir / "losses.png", losses, title)
  # The scores of one model resolve no low rates, so there is no curve to see.
  if models > 1:
    _draw_roc(workdir / "roc.png", populations, title)


def _draw_roc(
  path: pathlib.Path, populations: dict[str, Predictions], title: str
) -> None:
  curves = [
    (f"LiRA, {name}", attack.headline_scores(found), found.membership)
    for name, found in populations.items()
  ]
  canaries = populations["canaries"]
  control = attack.shuffled(canaries)
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
  reporting.roc_figure(path, curves, title)


def _logit_scores(predictions: Predictions) -> np.ndarray:
  return attack.logit_score(
    predictions.logits, predictions.labels[:, None, None]
  )
