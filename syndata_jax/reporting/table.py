"""The report of one run: a headline, then every variant of the attack."""

import io
import statistics
import textwrap
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
  white_box_sentence,
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
# Of a row's name beside two rates with their intervals: 80 columns together.
_NAME_WIDTH = 26


def render(
  attack: Mapping[str, Any],
  training: Mapping[str, Any] | None,
  console: Console,
  guarantee: Guarantee | None = None,
) -> None:
  """Prints the report of one run.

  Args:
    attack: the contents of `attack.json`: see `attack.attack`.
    training: how the models were made, or None when the logits came from a
      file: `dataset`, `paradigm`, `model`, `canary_kind`, `device`,
      `num_epochs`, `test_accuracy` (one fraction per model), `hours` (of
      accelerator), `images_per_second` and `utilisation` (a fraction of the
      device's peak, None where that is not known). It may have `chosen_as`,
      what to call the canaries that a model learned from where it left some
      out, such as `selected`; and `other_accuracy`, for each other network by
      name its fractions.
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


def verdict_sentence(
  attack: Mapping[str, Any], training: Mapping[str, Any] | None
) -> str:
  """The verdict; the arguments are those of `render`."""
  kind = None if training is None else training["canary_kind"]
  if _is_one_run(attack):
    sentence = one_run_verdict(attack, kind)
  else:
    sentence = verdict(attack["canaries"], kind)
  return sentence + white_box_sentence(attack.get("white_box_bound"))


def cautions(attack: Mapping[str, Any]) -> list[str]:
  """The notes below the verdict; the argument is that of `render`."""
  return [] if _is_one_run(attack) else notes(attack)


def leakage_table(
  attack: Mapping[str, Any], training: Mapping[str, Any] | None
) -> Table:
  """Rates with their intervals; the arguments are those of `render`."""
  if _is_one_run(attack):
    return one_run_table(attack)
  return _leakage(attack, _chosen_as(training))


def utility_and_cost(training: Mapping[str, Any]) -> dict[str, list[str]]:
  """Lines by their name; the argument is that of `render`."""
  return _utility(training) | _efficiency(training)


def _blocks(
  attack: Mapping[str, Any],
  training: Mapping[str, Any] | None,
  console: Console,
  guarantee: Guarantee | None,
) -> Iterator[RenderableType]:
  """The parts of the report, in order; the arguments are those of `render`."""
  canaries, average = attack["canaries"], attack.get("average")
  bound, one_run = attack["epsilon_bound"], _is_one_run(attack)
  white_box = attack.get("white_box_bound")
  yield Rule("Privacy audit", style="dim")
  yield Padding(Text(verdict_sentence(attack, training), style="bold"), 1)
  if guarantee is not None and is_broken(bound, guarantee, white_box):
    yield Padding(
      Text(broken(bound, guarantee, white_box), style="bold red"), (0, 1, 1, 1)
    )
  for note in cautions(attack):
    yield Padding(Text(f"Note: {note}", style="yellow"), (0, 1, 1, 1))
  yield _facts(_setting(attack["headline"], training))
  yield ""
  yield _unsqueezed(leakage_table(attack, training), console)
  yield ""
  yield _unsqueezed(epsilon_table(bound, guarantee, white_box), console)
  if "selection" in attack:
    yield ""
    yield _facts(_chosen(attack["selection"]["share"], _chosen_as(training)))
  if guarantee is not None:
    yield ""
    yield _facts({"Guarantee": guarantee.lines})
  if training is not None:
    yield ""
    yield _facts(utility_and_cost(training))
  for name, population in (("Canaries", canaries), ("Average case", average)):
    if population is not None:
      yield Padding(Text(_sizes(name, population), style="bold"), 1)
      if not one_run:
        table = variants_table(population["attacks"], console)
        yield _unsqueezed(table, console)


def _is_one_run(attack: Mapping[str, Any]) -> bool:
  return attack["audit"] == "one_run"


def _chosen_as(training: Mapping[str, Any] | None) -> str:
  name: str = (training or {}).get("chosen_as", "selected")
  return name


def _facts(facts: Mapping[str, Sequence[str]]) -> Table:
  """Lines of prose, which may wrap, beside their names."""
  table = Table.grid(padding=(0, 2, 0, 1), pad_edge=True)
  table.add_column(style="dim", no_wrap=True, min_width=10)
  table.add_column(overflow="fold")
  for name, lines in facts.items():
    table.add_row(name, Text("\n".join(lines)))
  return table


def _unsqueezed(table: Table, console: Console) -> Table:
  table.width = natural_width(table, console)
  return table


def _setting(
  headline: Mapping[str, Any], training: Mapping[str, Any] | None
) -> dict[str, list[str]]:
  attack = {"Attack": [describe(headline)]}
  if training is None:
    return attack
  names = [training[key] for key in ("dataset", "paradigm", "model")]
  models = ", ".join([*names, counted(training["num_epochs"], "epoch")])
  canaries = subject(training["canary_kind"])
  return {"Models": [models], "Canaries": [canaries]} | attack


def _leakage(attack: Mapping[str, Any], chosen_as: str) -> Table:
  """TPR at the two FPRs that are quoted, each with its interval."""
  table = Table(box=box.SIMPLE_HEAD, show_edge=False, collapse_padding=True)
  table.add_column("Leakage", no_wrap=True)
  for key in _QUOTED:
    header = f"TPR at\n{level(float(key))} FPR"
    table.add_column(header, justify="right", no_wrap=True, style="bold")
    table.add_column("\n95% interval", no_wrap=True)
  canaries = attack["canaries"]
  _add_rates(table, "canaries", canaries["attacks"][0]["tpr_at_fpr"])
  # Point estimates, of members of two kinds against the same non-members.
  parts = attack.get("selection", {})
  for key, name in (
    ("selected", chosen_as),
    ("unselected", f"not {chosen_as}"),
  ):
    if parts.get(key):
      _add_rates(table, f"  of these, {name}", parts[key])
  for name, record in attack.get("others", {}).items():
    _add_rates(table, f"{name}: canaries", record["tpr_at_fpr"])
  if "average" in attack:
    average = attack["average"]["attacks"][0]
    _add_rates(table, "average case", average["tpr_at_fpr"])
  _add_rates(table, "shuffled membership", canaries["shuffled"]["tpr_at_fpr"])
  chance = [percent(float(key)) for key in _QUOTED]
  table.add_row("guessing", chance[0], "", chance[1], style="dim")
  return table


def _add_rates(table: Table, name: str, rates: Mapping[str, Any]) -> None:
  """A row of the leakage table.

  Args:
    table: of `_leakage`.
    name: of the row; a long one takes several lines.
    rates: by the FPR as text, a fraction or a figure with its interval.
  """
  cells = []
  for rate in (rates[key] for key in _QUOTED):
    if isinstance(rate, Mapping):
      cells += [percent(rate["value"]), _interval(rate)]
    else:
      cells += [percent(rate), ""]
  lines = textwrap.wrap(name, _NAME_WIDTH, subsequent_indent="    ")
  table.add_row("\n".join(lines), *cells)


def _chosen(share: Sequence[float], chosen_as: str) -> dict[str, list[str]]:
  """How many of each model's own canaries it learned from."""
  mean = percent(statistics.fmean(share))
  spread = f"standard deviation {statistics.stdev(share):.2%}"
  return {
    "Chosen": [f"{mean} of a model's own canaries are {chosen_as}, {spread}"]
  }


def _interval(figure: Mapping[str, float]) -> str:
  return f"{percent(figure['low'])} to {percent(figure['high'])}"


def _utility(training: Mapping[str, Any]) -> dict[str, list[str]]:
  lines = [_accuracy(training["test_accuracy"])]
  for name, accuracy in training.get("other_accuracy", {}).items():
    lines.append(f"{name}: {_accuracy(accuracy)}")
  return {"Utility": lines}


def _accuracy(fractions: Sequence[float]) -> str:
  """Mean and spread of one fraction per model."""
  mean = f"test accuracy {statistics.fmean(fractions):.2%}"
  if len(fractions) == 1:
    return f"{mean} (1 model)"
  # The sample standard deviation: the models are draws from the paradigm.
  spread = f"standard deviation {statistics.stdev(fractions):.2%}"
  return f"{mean}, {spread} over {len(fractions)} models"


def _efficiency(training: Mapping[str, Any]) -> dict[str, list[str]]:
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


def _sizes(name: str, population: Mapping[str, Any]) -> str:
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
