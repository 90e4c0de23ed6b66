"""The second half of an audit: from logits to the report."""

import pathlib
from typing import Any

import numpy as np
from rich.console import Console

from syndata_jax import attack, reporting
from syndata_jax.attack import EpsilonBound, PredictionFile, WhiteBoxBound
from syndata_jax.files import read_json, write, write_json
from syndata_jax.programs import guarantee
from syndata_jax.programs.shadows import FINAL
from syndata_jax.programs.workdir import read_metrics
from syndata_jax.reporting import Report


def judge(workdir: pathlib.Path, console: Console) -> None:
  """Attacks `predictions.npz` and writes and prints the report.

  Raises:
    GuaranteeBroken: the attack has refuted the run's privacy statement; the
      report is there nevertheless.
  """
  with console.status("Attacking all models"):
    report = make_report(workdir)
  write_report(workdir, report)
  found, promised = report.attack, report.guarantee
  reporting.render(found, report.training, console, promised)
  console.print(f"Everything is in {workdir}", highlight=False)
  if promised is not None:
    bound = EpsilonBound(**found["epsilon_bound"])
    attack.check_claim(bound, promised.epsilon)
    if "white_box_bound" in found:
      attack.check_white_box_claim(
        WhiteBoxBound(**found["white_box_bound"]), promised.white_box_epsilon
      )


def make_report(workdir: pathlib.Path) -> Report:
  """Attacks `predictions.npz`, unless `attack.json` says what was found."""
  file = attack.load_predictions(workdir / "predictions.npz")
  statement = guarantee.stated(workdir)
  result = workdir / "attack.json"
  if not result.exists():
    delta = attack.DEFAULT_DELTA if statement is None else statement.delta
    write_json(result, attack.attack(file, delta=delta))
  record = read_json(result)
  return Report(
    record,
    file,
    training_summary(workdir, file),
    guarantee.promised(statement, EpsilonBound(**record["epsilon_bound"])),
  )


def write_report(workdir: pathlib.Path, report: Report) -> None:
  """Writes what a person reads: `report.txt` and the pictures."""
  write(workdir / "report.txt", report.table())
  report.losses(workdir / "losses.png")
  # The scores of one model resolve no low rates, so there is no curve to see.
  if report.predictions.canaries.membership.shape[1] > 1:
    report.roc(workdir / "roc.png")


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
