"""The report of one run: a headline, then every variant of the attack."""

import io
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from syndata_jax.reporting import facts, images
from syndata_jax.reporting.fidelity import fidelity
from syndata_jax.reporting.formats import level, percent
from syndata_jax.reporting.guarantee import (
  Guarantee,
  broken,
  epsilon_table,
  is_broken,
  white_box_sentence,
)
from syndata_jax.reporting.one_run import one_run_table, one_run_verdict
from syndata_jax.reporting.variants import natural_width, variants_table
from syndata_jax.reporting.verdict import notes, verdict

_TEXT_WIDTH = 100
_QUOTED = ("0.001", "0.01")
# Of a row's name beside two rates with their intervals: 80 columns together.
_NAME_WIDTH = 24


def render(
  attack: Mapping[str, Any],
  training: Mapping[str, Any] | None,
  console: Console,
  guarantee: Guarantee | None = None,
  given: Mapping[str, Any] | None = None,
  copies: Mapping[str, Any] | None = None,
) -> None:
  """Prints the report of one run.

  Args:
    attack: the contents of `attack.json`: see `attack.attack`.
    training: how the models were made, or None when the logits came from a
      file. Always there are `dataset`, `paradigm`, `model`, `canary_kind`,
      `device`, `num_epochs`, `test_accuracy` (one fraction per model), `hours`
      (device-hours), `images_per_second` and `utilisation` (a fraction of the
      device's peak, None where that is not known). There may be

      - `settings`, those worth a line by name; `num_images` and
        `num_own_images`, of the pool and of one model; `data_folder`;
        `num_canaries`, and `canary_share`, their fraction of a model's data;
      - `date`, `versions` (by the name of the package), `wall_seconds`,
        `devices` (how many) and `accelerated`, whether they are no CPU cores;
      - `chosen_as`, what to call the canaries that a model learned from where
        it left some out, such as `selected`; and `other_accuracy`, for each
        other network by name its fractions; and `quality`, what `quality.json`
      holds.
    console: where to; from 80 columns on every line fits. In fewer, lines of
      numbers are longer than the console, because a cut number is worse.
    guarantee: None for a paradigm without.
    given: what came with logits from elsewhere: `title` (or None), `facts`, by
      their names, and `notes`.
    copies: the contents of `near_copies.json`; None without released images.
  """
  for block in _blocks(attack, training, console, guarantee, given, copies):
    console.print(block, highlight=False, crop=False)


def render_text(
  attack: Mapping[str, Any],
  training: Mapping[str, Any] | None,
  guarantee: Guarantee | None = None,
  given: Mapping[str, Any] | None = None,
  copies: Mapping[str, Any] | None = None,
) -> str:
  """The same report as plain text of 100 columns, for `report.txt`."""
  file = io.StringIO()
  # Without a colour system no escape code is written, whatever the shell asks.
  console = Console(file=file, width=_TEXT_WIDTH, color_system=None)
  render(attack, training, console, guarantee, given, copies)
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
    sentence = verdict(attack, kind)
  return sentence + white_box_sentence(attack.get("white_box_bound"))


def cautions(
  attack: Mapping[str, Any],
  training: Mapping[str, Any] | None = None,
  given: Mapping[str, Any] | None = None,
  copies: Mapping[str, Any] | None = None,
) -> list[str]:
  """The notes below the verdict; the arguments are those of `render`."""
  about_attack = [] if _is_one_run(attack) else notes(attack)
  about_input = [] if given is None else list(given["notes"])
  about_data = [images.copies_note(copies), facts.canary_note(training)]
  return [*about_attack, *about_input, *filter(None, about_data)]


def leakage_table(
  attack: Mapping[str, Any], training: Mapping[str, Any] | None
) -> Table:
  """Rates with their intervals; the arguments are those of `render`."""
  if _is_one_run(attack):
    return one_run_table(attack)
  return _leakage(attack, _chosen_as(training))


def utility_and_cost(training: Mapping[str, Any]) -> facts.Facts:
  """Lines by their name; the argument is that of `render`."""
  return (
    facts.utility(training)
    | fidelity(training.get("quality"))
    | facts.efficiency(training)
  )


def _blocks(
  attack: Mapping[str, Any],
  training: Mapping[str, Any] | None,
  console: Console,
  guarantee: Guarantee | None,
  given: Mapping[str, Any] | None,
  copies: Mapping[str, Any] | None,
) -> Iterator[RenderableType]:
  """The parts of the report, in order; the arguments are those of `render`."""
  canaries, average = attack["canaries"], attack.get("average")
  bound, one_run = attack["epsilon_bound"], _is_one_run(attack)
  white_box = attack.get("white_box_bound")
  title = None if given is None else given["title"]
  heading = "Privacy audit" if title is None else f"Privacy audit: {title}"
  yield Rule(Text(heading), style="dim")
  yield Padding(Text(verdict_sentence(attack, training), style="bold"), 1)
  if guarantee is not None and is_broken(bound, guarantee, white_box):
    yield Padding(
      Text(broken(bound, guarantee, white_box), style="bold red"), (0, 1, 1, 1)
    )
  for note in cautions(attack, training, given, copies):
    yield Padding(Text(f"Note: {note}", style="yellow"), (0, 1, 1, 1))
  yield _facts(facts.setting(attack["headline"], training, given))
  yield ""
  yield _unsqueezed(leakage_table(attack, training), console)
  yield ""
  yield _unsqueezed(epsilon_table(bound, guarantee, white_box), console)
  if "selection" in attack:
    yield ""
    share = attack["selection"]["share"]
    yield _facts(facts.chosen(share, _chosen_as(training)))
  if copies is not None:
    yield ""
    yield _unsqueezed(images.copies_table(copies), console)
    yield _facts(images.copies_facts(copies, attack))
  if guarantee is not None:
    yield ""
    yield _facts({"Guarantee": guarantee.lines})
  if training is not None:
    yield ""
    yield _facts(utility_and_cost(training))
  for name, population in (("Canaries", canaries), ("Average case", average)):
    if population is not None:
      yield Padding(Text(facts.sizes(name, population), style="bold"), 1)
      if not one_run:
        table = variants_table(population["attacks"], console)
        yield _unsqueezed(table, console)


def _is_one_run(attack: Mapping[str, Any]) -> bool:
  return attack["audit"] == "one_run"


def _chosen_as(training: Mapping[str, Any] | None) -> str:
  name: str = (training or {}).get("chosen_as", "selected")
  return name


def _facts(lines_by_name: facts.Facts) -> Table:
  """Lines of prose, which may wrap, beside their names."""
  table = Table.grid(padding=(0, 2, 0, 1), pad_edge=True)
  table.add_column(style="dim", no_wrap=True, min_width=10)
  table.add_column(overflow="fold")
  for name, lines in lines_by_name.items():
    table.add_row(name, Text("\n".join(lines)))
  return table


def _unsqueezed(table: Table, console: Console) -> Table:
  table.width = natural_width(table, console)
  return table


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
  _add_images(table, attack, "canaries")
  if "average" in attack:
    average = attack["average"]["attacks"][0]
    _add_rates(table, "average case", average["tpr_at_fpr"])
    _add_images(table, attack, "average")
  if "dummies" in attack:
    null = attack["dummies"]["attacks"][0]
    _add_rates(table, "dummies (in no model)", null["tpr_at_fpr"])
    _add_images(table, attack, "dummies")
  # What guessing is expected to reach with so many non-members of the canaries.
  chance = [level(canaries["chance"][key]) for key in _QUOTED]
  table.add_row("guessing", chance[0], "", chance[1], style="dim")
  return table


def _add_images(
  table: Table, attack: Mapping[str, Any], population: str
) -> None:
  """Rows of the leakage table, of the images alone."""
  for name, record in images.records(attack, population):
    _add_rates(table, name, record["tpr_at_fpr"])


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
  lines = textwrap.wrap(
    name, _NAME_WIDTH, subsequent_indent="    ", break_on_hyphens=False
  )
  table.add_row("\n".join(lines), *cells)


def _interval(figure: Mapping[str, float]) -> str:
  return f"{percent(figure['low'])} to {percent(figure['high'])}"
