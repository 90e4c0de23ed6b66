"""What was run, and what it cost: lines of prose beside their names."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from syndata_jax.reporting import formats
from syndata_jax.reporting.formats import counted, percent
from syndata_jax.reporting.variants import describe
from syndata_jax.reporting.verdict import subject

Facts = dict[str, Sequence[str]]

# Above this share of a model's data, canaries may change what it learns.
_HARMLESS = 0.05


def setting(
  headline: Mapping[str, Any],
  training: Mapping[str, Any] | None,
  given: Mapping[str, Any] | None = None,
) -> Facts:
  """What was audited, and by which attack; the arguments are `render`'s."""
  facts: Facts = {}
  if training is not None:
    names = [training[key] for key in ("dataset", "paradigm", "model")]
    models = ", ".join([*names, counted(training["num_epochs"], "epoch")])
    facts |= {"Models": [models]} | _settings(training) | _data(training)
    facts |= {"Canaries": [_canaries(training)]} | _run(training)
  facts |= {"Attack": [describe(headline)]}
  for name, value in {} if given is None else given["facts"].items():
    # What a person says replaces nothing that the run has shown.
    facts[f"{name} (as given)" if name in facts else name] = [str(value)]
  return facts


def canary_note(training: Mapping[str, Any] | None) -> str | None:
  """A warning where canaries are a large part of a model's data."""
  share = (training or {}).get("canary_share")
  if share is None or share <= _HARMLESS:
    return None
  return (
    f"canaries are {percent(share)} of a model's data; above"
    f" {formats.level(_HARMLESS)} they may change what it learns, its accuracy"
    " included."
  )


def utility(training: Mapping[str, Any]) -> Facts:
  """Test accuracy, of other networks too; the argument is `render`'s."""
  lines = [_accuracy(training["test_accuracy"])]
  for name, accuracy in training.get("other_accuracy", {}).items():
    lines.append(f"{name}: {_accuracy(accuracy)}")
  return {"Utility": lines}


def efficiency(training: Mapping[str, Any]) -> Facts:
  """Time, and how well it was used; the argument is `render`'s.

  Cores are not accelerators: of them, and of what nobody measured on a clock,
  there is one time only.
  """
  hours, devices = training["hours"], training.get("devices", 1)
  clock = training.get("wall_seconds")
  if clock is None:
    clock = 3600 * hours / devices
  share = training["utilisation"]
  used = "peak of this device unknown"
  if share is not None:
    used = f"model FLOP utilisation {percent(share)}"
  speed = f"{formats.throughput(training['images_per_second'])}, {used}"
  if training.get("accelerated", True):
    where = formats.accelerator_time(hours)
    lines = [f"{formats.duration(clock)} from start to end, {where}", speed]
    return {"Efficiency": lines, "Device": [training["device"]]}
  # What one device of XLA makes of a CPU is its own affair.
  cores = "the CPU" if devices == 1 else f"{devices} CPU cores"
  return {"Efficiency": [f"{formats.duration(clock)} on {cores}", speed]}


def sizes(name: str, population: Mapping[str, Any]) -> str:
  """How many examples and models; the population is of `attack.json`."""
  counts = [
    counted(population[key], noun)
    for key, noun in (
      ("examples", "example"),
      ("models", "model"),
      ("members", "member"),
      ("nonmembers", "non-member"),
    )
  ]
  return f"{name}: {', '.join(counts)}"


def chosen(share: Sequence[float | None], chosen_as: str) -> Facts:
  """How many of each model's own canaries it learned from.

  Args:
    share: one fraction a model; None where it owns no canary.
    chosen_as: what the paradigm calls it.
  """
  known = [each for each in share if each is not None]
  if not known:
    return {"Chosen": ["no model owns a canary"]}
  line = (
    f"{percent(statistics.fmean(known))} of a model's own canaries are"
    f" {chosen_as}"
  )
  if len(known) > 1:
    line += f", standard deviation {statistics.stdev(known):.2%}"
  return {"Chosen": [line]}


def _accuracy(fractions: Sequence[float]) -> str:
  """Mean and spread of one fraction per model."""
  mean = f"test accuracy {statistics.fmean(fractions):.2%}"
  if len(fractions) == 1:
    return f"{mean} (1 model)"
  # The sample standard deviation: the models are draws from the paradigm.
  spread = f"standard deviation {statistics.stdev(fractions):.2%}"
  return f"{mean}, {spread} over {len(fractions)} models"


def _settings(training: Mapping[str, Any]) -> Facts:
  settings = training.get("settings")
  if not settings:
    return {}
  pairs = [f"{name}={_value(value)}" for name, value in settings.items()]
  return {"Settings": [", ".join(pairs)]}


def _value(value: Any) -> str:
  """As the flag of the config takes it."""
  return f"{value:g}" if isinstance(value, float) else str(value)


def _data(training: Mapping[str, Any]) -> Facts:
  if "num_images" not in training:
    return {}
  folder = training.get("data_folder")
  name = training["dataset"] if folder is None else f"{folder}"
  images = counted(training["num_images"], "training image")
  own = f"{training['num_own_images']:,.0f} of them in a model's data"
  return {"Data": [f"{name}: {images}, {own}"]}


def _canaries(training: Mapping[str, Any]) -> str:
  name = subject(training["canary_kind"])
  if "num_canaries" not in training:
    return name
  share = percent(training["canary_share"])
  return f"{training['num_canaries']:,} {name}, {share} of a model's data"


def _run(training: Mapping[str, Any]) -> Facts:
  """When, and with which versions, as far as they are known."""
  parts = [training["date"]] if training.get("date") else []
  versions = training.get("versions") or {}
  parts += [f"{name} {version}" for name, version in versions.items()]
  return {"Run": [", ".join(parts)]} if parts else {}
