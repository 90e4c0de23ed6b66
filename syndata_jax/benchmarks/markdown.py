"""The benchmark's result as Markdown tables."""

from collections.abc import Sequence
from typing import Any

from syndata_jax.benchmarks.record import Case, Row, Suite
from syndata_jax.reporting.formats import percent

_HEAD = (
  "Contender",
  "{unit}",
  "slowest - fastest round",
  "times the best peer",
  "first round",
  "memory",
  "utilisation",
)


def render(machine: dict[str, Any], suites: Sequence[Suite]) -> str:
  """A page: the machine, then every suite with its cases."""
  lines = ["# Benchmark", "", *_machine(machine)]
  for suite in suites:
    lines += ["", f"## {suite.title}", "", *(f"{n}  " for n in suite.notes)]
    for case in suite.cases:
      lines += ["", f"### {case.name}", "", *_table(case, suite.unit)]
  return "\n".join(lines) + "\n"


def _machine(machine: dict[str, Any]) -> list[str]:
  versions = ", ".join(
    f"{name} {version}"
    for name, version in machine["versions"].items()
    if version
  )
  driver = f", driver {machine['driver']}" if machine["driver"] else ""
  facts = {
    "Device": f"{machine['devices']} x {machine['device']}{driver}",
    "Host": f"{machine['processor']}, {machine['cores']} cores,"
    f" {machine['system']}",
    "Versions": f"Python {machine['python']}, {versions}",
    "Date": machine["date"],
    "Command": f"`{machine['command']}`",
  }
  if machine["load"] is not None:
    facts["Load before the start"] = f"{machine['load']:.1f} programs"
  return [f"- {name}: {value}" for name, value in facts.items()]


def _table(case: Case, unit: str) -> list[str]:
  head = [cell.format(unit=unit) for cell in _HEAD]
  rule = ["---", *["---:"] * (len(head) - 1)]
  rows = [_cells(case, row) for row in case.rows]
  # What no row knows is no column.
  kept = [
    column for column, cells in enumerate(zip(*rows, strict=True)) if any(cells)
  ]
  return [
    f"| {' | '.join(line[column] for column in kept)} |"
    for line in [head, rule, *rows]
  ]


def _cells(case: Case, row: Row) -> list[str]:
  name = row.name if row.peer else f"**{row.name}**"
  if row.timing is None or row.rate is None or row.rates is None:
    return [name, f"not run: {row.not_run}", *[""] * (len(_HEAD) - 2)]
  ratio = case.ratio(row)
  memory, used = row.peak_bytes, row.utilisation
  return [
    name,
    number(row.rate),
    f"{number(row.rates[0])} - {number(row.rates[1])}",
    f"{ratio:.2f}" if ratio else "",
    f"{row.timing.first:.1f} s",
    f"{memory / 1e9:.2f} GB" if memory else "",
    percent(used) if used else "",
  ]


def number(value: float) -> str:
  """Three significant digits: `0.123`, `12.0`, `1,230`."""
  if value >= 99.95:
    digits = len(str(int(value))) - 3
    return f"{round(value, -digits):,.0f}"
  return f"{value:#.3g}"
