"""The report of one run: a headline, then every variant of the attack."""

import io
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from syndata_jax.reporting import formats
from syndata_jax.reporting.formats import counted, level, percent
from syndata_jax.reporting.guarantee import (
  Guarantee,
  broken,
  epsilon_table,
  is_broken,
)
from syndata_jax.reporting.one_run import one_run_table, one_run_verdict
from syndata_jax.reporting.variants import (
  describe,
  natural_width,
  variants_table,
)
from syndata_jax.reporting.verdict import notes, subject, verdict

_TEXT_WIDTH = 100
_QUOTED = ("0.001", "0.01")


def render(
  attack: Mapping[str, Any],
  training: Mapping[str, Any] | None,
  console: Console,
  guarantee: Guarantee | None = None,
) -> None:
  """Prints the report of one run.

  Args:
    attack: the contents of `attack.json`: `audit`, `headline`,
      `epsilon_bound`, `canaries` and, if ordinary examples were audited,
      `average`. Rates are fractions.
    training: how the models were made, or None when the logits came from a
      file: `dataset`, `paradigm`, `model`, `canary_kind`, `device`,
      `num_epochs`, `test_accuracy` (one fraction per model), `hours` (of
      accelerator), `images_per_second` and `utilisation` (a fraction of the
      device's peak, None where that is not known).
    console: where to; from 80 columns on every line fits. In fewer, lines of
      numbers are longer than the console, because a cut number is worse.
    guarantee: None for a paradigm without.
  """
  for block in _blocks(attack, training, console, guarantee):
    console.print(block, highlight=False, crop=False)


def render_text(
  attack: Mapping[str, Any],
  training: Mapping[str, Any] | None,
  guarantee: Guarantee | None = None,
) -> str:
  """The same report as plain text of 100 columns, for `report.txt`."""
  file = io.StringIO()
  # Without a colour system no escape code is written, whatever the shell asks.
  console = Console(file=file, width=_TEXT_WIDTH, color_system=None)
  render(attack, training, console, guarantee)
  lines = [line.rstrip() for line in file.getvalue().splitlines()]
  return "\n".join(lines) + "\n"


def _blocks(attack, training, console, guarantee) -> Iterator[RenderableType]:
  canaries, average = attack["canaries"], attack.get("average")
  kind = None if training is None else training["canary_kind"]
  bound, one_run = attack["epsilon_bound"], attack["audit"] == "one_run"
  sentence = (
    one_run_verdict(attack, kind) if one_run else verdict(canaries, kind)
  )
  yield Rule("Privacy audit", style="dim")
  yield Padding(Text(sentence, style="bold"), 1)
  if is_broken(bound, guarantee):
    yield Padding(
      Text(broken(bound, guarantee), style="bold red"), (0, 1, 1, 1)
    )
  for note in [] if one_run else notes(attack):
    yield Padding(Text(f"Note: {note}", style="yellow"), (0, 1, 1, 1))
  yield _facts(_setting(attack["headline"], training))
  yield ""
  leakage = one_run_table(attack) if one_run else _leakage(attack, training)
  yield _unsqueezed(leakage, console)
  yield ""
  yield _unsqueezed(epsilon_table(bound, guarantee), console)
  if "selection" in attack:
    yield ""
    yield _facts(_selection(attack["selection"], training))
  if guarantee is not None:
    yield ""
    yield _facts({"Guarantee": guarantee.lines})
  if training is not None:
    yield ""
    yield _facts(_utility(training["test_accuracy"]) | _efficiency(training))
  for name, population in (("Canaries", canaries), ("Average case", average)):
    if population is not None:
      yield Padding(Text(_sizes(name, population), style="bold"), 1)
      if not one_run:
        table = variants_table(population["attacks"], console)
        yield _unsqueezed(table, console)


def _facts(facts: Mapping[str, Sequence[str]]) -> Table:
  """Lines of prose, which may wrap, beside their names."""
  table = Table.grid(padding=(0, 2, 0, 1), pad_edge=True)
  table.add_column(style="dim", no_wrap=True, min_width=10)
  table.add_column(overflow="fold")
  for name, lines in facts.items():
    table.add_row(name, Text("\n".join(lines)))
  return table


def _unsqueezed(table, console):
  table.width = natural_width(table, console)
  return table


def _setting(headline, training):
  attack = {"Attack": [describe(headline)]}
  if training is None:
    return attack
  names = [training[key] for key in ("dataset", "paradigm", "model")]
  models = ", ".join([*names, counted(training["num_epochs"], "epoch")])
  canaries = subject(training["canary_kind"])
  return {"Models": [models], "Canaries": [canaries]} | attack


def _leakage(attack, training) -> Table:
  """TPR at the two FPRs that are quoted, each with its interval."""
  canaries, average = attack["canaries"], attack.get("average")
  rows = {"canaries": canaries["attacks"][0]}
  if average is not None:
    rows["average case"] = average["attacks"][0]
  rows["shuffled membership"] = canaries["shuffled"]
  table = Table(box=box.SIMPLE_HEAD, show_edge=False, collapse_padding=True)
  table.add_column("Leakage", no_wrap=True)
  for key in _QUOTED:
    header = f"TPR at\n{level(float(key))} FPR"
    table.add_column(header, justify="right", no_wrap=True, style="bold")
    table.add_column("\n95% interval", no_wrap=True)
  for name, record in rows.items():
    figures = [record["tpr_at_fpr"][key] for key in _QUOTED]
    cells = [(percent(f["value"]), _interval(f)) for f in figures]
    table.add_row(name, *cells[0], *cells[1])
    if name == "canaries":
      _add_apart(table, attack.get("selection", {}), _parts(training))
  chance = [percent(float(key)) for key in _QUOTED]
  table.add_row("guessing", chance[0], "", chance[1], style="dim")
  return table


def _parts(training):
  """What a paradigm that chooses among its private data calls the two parts."""
  if training is not None and training["paradigm"] == "distillation":
    return "Initial images", "in the first images", "not in them"
  return "Selection", "selected", "unselected"


def _add_apart(table, selection, parts):
  """Rows for the members that a paradigm chose, and for those it left out."""
  for key, name in zip(("selected", "unselected"), parts[1:], strict=True):
    rates = selection.get(key)
    if rates:
      cells = [percent(rates[level]) for level in _QUOTED]
      table.add_row(f"  of these, {name}", cells[0], "", cells[1], "")


def _selection(selection, training):
  share = selection["share"]
  spread = f"standard deviation {statistics.stdev(share):.2%}"
  mean = percent(statistics.fmean(share))
  return {_parts(training)[0]: [f"{mean} of a model's own canaries, {spread}"]}


def _interval(figure):
  return f"{percent(figure['low'])} to {percent(figure['high'])}"


def _utility(accuracy):
  mean = f"test accuracy {statistics.fmean(accuracy):.2%}"
  if len(accuracy) == 1:
    return {"Utility": [f"{mean} (1 model)"]}
  # The sample standard deviation: the models are draws from the paradigm.
  spread = f"standard deviation {statistics.stdev(accuracy):.2%}"
  return {"Utility": [f"{mean}, {spread} over {len(accuracy)} models"]}


def _efficiency(training):
  share = training["utilisation"]
  used = "peak of this device unknown"
  if share is not None:
    used = f"model FLOP utilisation {percent(share)}"
  return {
    "Efficiency": [
      formats.accelerator_time(training["hours"]),
      f"{formats.throughput(training['images_per_second'])}, {used}",
    ],
    "Device": [training["device"]],
  }


def _sizes(name, population):
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
