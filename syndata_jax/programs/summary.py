"""What a report says of the run itself, from the files in its folder."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from syndata_jax import data
from syndata_jax.attack import PredictionFile
from syndata_jax.files import read_json
from syndata_jax.programs import quality
from syndata_jax.programs.settings import Performance, defaults
from syndata_jax.programs.shadows import FINAL
from syndata_jax.programs.workdir import read_metrics

# Told at their defaults as well, first: two reports that differ in these alone
# are of two runs. Zero of one that has an alternative is not set.
_TOLD = ("method", "fraction", "images_per_class")
# Told by a line of the report of their own, or by its tables.
_ELSEWHERE = (
  "dataset",
  "paradigm",
  "model",
  "num_epochs",
  "num_models",
  "num_canaries",
  "num_average",
  "canary_kind",
)


def training_summary(
  workdir: pathlib.Path, file: PredictionFile, data_dir: str | None = None
) -> dict[str, Any] | None:
  """How the models were made, and what that cost and achieved.

  Args:
    workdir: of the run.
    file: its predictions.
    data_dir: where the data came from, if that was said; its name is told.

  Returns:
    The `training` of `reporting.render`; None for logits from elsewhere.
  """
  epochs = [each for each in read_metrics(workdir) if each["stage"] == FINAL]
  if not epochs or file.test_accuracy is None:
    return None
  config = read_json(workdir / "config.json")
  machine = read_json(workdir / "machine.json")
  seconds = machine["synthesize_seconds"] + sum(e["seconds"] for e in epochs)
  # The median epoch: without the first one's compilation.
  speed = float(np.median([e["images"] / e["seconds"] for e in epochs]))
  peak, devices = machine["peak_flops"], machine["devices"]
  return {
    "dataset": config["dataset"],
    "paradigm": config["paradigm"],
    "model": config["model"],
    "canary_kind": config["canary_kind"],
    "num_epochs": epochs[-1]["of"],
    "settings": told_settings(config),
    "data_folder": None if data_dir is None else _last_part(data_dir),
    "date": machine.get("date"),
    "versions": machine.get("versions", {"syndata_jax": config["version"]}),
    "chosen_as": machine["chosen_as"],
    "other_accuracy": {
      name: other.test_accuracy.tolist()
      for name, other in file.others.items()
      if other.test_accuracy is not None
    },
    "device": f"{devices} x {machine['device']}",
    "devices": devices,
    "accelerated": machine["device"] != "cpu",
    "test_accuracy": file.test_accuracy.tolist(),
    "hours": seconds * devices / 3600,
    "quality": (
      read_json(workdir / quality.FILE)
      if (workdir / quality.FILE).exists()
      else None
    ),
    "wall_seconds": machine.get("wall_seconds"),
    "images_per_second": speed,
    "utilisation": (
      speed * machine["training_flops_per_image"] / peak / devices
      if peak
      else None
    ),
    **_canaries(workdir, file),
  }


def told_settings(config: Mapping[str, Any]) -> dict[str, Any]:
  """Settings that are not what a config without any would have.

  Args:
    config: the contents of `config.json`.

  Returns:
    By name, in the order of the config, the seed and `_TOLD` first; an option
    of a network as `model_options.width`.
  """
  usual = json.loads(json.dumps(defaults(config["paradigm"]).to_dict()))
  usual["precision"] = Performance.precision
  usual = _flat(usual)
  # What is no setting, such as a digest, has no default either.
  flat = {
    name: value
    for name, value in _flat(config).items()
    if name in usual or name.startswith("model_options.")
  }
  told = {"seed": flat.pop("seed")}
  told |= {name: flat[name] for name in _TOLD if flat.get(name)}
  return told | {
    name: value
    for name, value in flat.items()
    if name not in _ELSEWHERE and value != usual.get(name)
  }


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  """Nested dicts as one, with names such as `model_options.width`."""
  flat: dict[str, Any] = {}
  for name, value in fields.items():
    if isinstance(value, dict):
      flat |= _flat(value, f"{prefix}{name}.")
    else:
      flat[prefix + name] = value
  return flat


def _last_part(path: str) -> str:
  return pathlib.Path(path).expanduser().resolve().name


def _canaries(workdir: pathlib.Path, file: PredictionFile) -> dict[str, Any]:
  """Of how many images, and which share of a model's data, canaries are."""
  split = data.load_split(workdir / "split.npz")
  own = split.members.shape[1]
  return {
    "num_images": len(split.labels),
    "num_own_images": own,
    "num_canaries": len(split.canary_index),
    "canary_share": float(file.canaries.membership.sum(axis=0).mean() / own),
  }
