"""The benchmark's result as Markdown tables."""

from collections.abc import Sequence
from typing import Any

from syndata_jax.benchmarks.harness.record import Case, Check, Row, Suite
from syndata_jax.reporting.formats import memory, percent, significant

_HEAD = (
  "Contender",
  "{unit}",
  "slowest - fastest round",
  "times the best peer",
  "compile",
  "with the cache",
  "first round",
  "memory",
  "{utilisation}",
)


def render(machine: dict[str, Any], suites: Sequence[Suite]) -> str:
  """A page: the machine, then every suite with its cases."""
  lines = ["# Benchmark", "", *_machine(machine)]
  measured = machine["matmul_flops"]
  used = "of measured matmul peak" if measured else "utilisation"
  for suite in suites:
    lines += ["", f"## {suite.title}", "", *(f"{n}  " for n in suite.notes)]
    for case in suite.cases:
      table = (
        _table(case, suite.unit, used)
        if isinstance(case, Case)
        else _differences(case, suite.unit)
      )
      lines += ["", f"### {case.name}", "", *table]
    lines += _memory(suite.timed)
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
  if machine["matmul_flops"]:
    rate = significant(machine["matmul_flops"] / 1e9)
    facts["Matmul peak"] = f"{rate} GFLOP/s, float32, measured on all cores"
  if machine["load"] is not None:
    facts["Load before the start"] = f"{machine['load']:.1f} programs"
  return [f"- {name}: {value}" for name, value in facts.items()]


def _table(case: Case, unit: str, used: str) -> list[str]:
  head = [cell.format(unit=unit, utilisation=used) for cell in _HEAD]
  rows = [_cells(case, row) for row in case.rows]
  # What no row knows is no column.
  known = [
    column for column, cells in enumerate(zip(*rows, strict=True)) if any(cells)
  ]
  return _lines([[line[column] for column in known] for line in [head, *rows]])


def _differences(case: Check, unit: str) -> list[str]:
  head = ["Way", unit, f"within {case.tolerance:g}"]
  rows = [
    [row.name, f"not run: {row.not_run}", ""]
    if row.difference is None
    else [
      row.name,
      f"{row.difference:.1e}",
      "yes" if case.agrees(row) else "**NO**",
    ]
    for row in case.rows
  ]
  return _lines([head, *rows])


def _memory(cases: Sequence[Case]) -> list[str]:
  """Bytes on one device against M, a line for every network; [] without."""
  networks = {
    case.name: {
      row.scale: row.peak_bytes
      for row in case.rows
      if row.scale and row.peak_bytes
    }
    for case in cases
    if case.axis == "models"
  }
  counts = sorted({scale for sizes in networks.values() for scale in sizes})
  if not counts:
    return []
  head = ["Memory of one device", *(f"M = {count}" for count in counts)]
  rows = [
    [name, *(_bytes(sizes.get(count)) for count in counts)]
    for name, sizes in networks.items()
  ]
  return ["", *_lines([head, *rows])]


def _bytes(size: float | None) -> str:
  return memory(size) if size else ""


def _lines(table: Sequence[Sequence[str]]) -> list[str]:
  """A Markdown table; its first line is the head."""
  rule = ["---", *["---:"] * (len(table[0]) - 1)]
  return [f"| {' | '.join(cells)} |" for cells in [table[0], rule, *table[1:]]]


def _cells(case: Case, row: Row) -> list[str]:
  name = row.name if row.peer else f"**{row.name}**"
  if row.timing is None or row.rate is None or row.rates is None:
    return [name, f"not run: {row.not_run}", *[""] * (len(_HEAD) - 2)]
  ratio = case.ratio(row)
  compilation, used = row.compilation, row.utilisation
  return [
    name,
    significant(row.rate),
    f"{significant(row.rates[0])} - {significant(row.rates[1])}",
    f"{ratio:.2f}" if ratio else "",
    f"{compilation.first:.1f} s" if compilation else "",
    f"{compilation.again:.1f} s" if compilation else "",
    f"{row.timing.first:.1f} s",
    _bytes(row.peak_bytes),
    percent(used) if used else "",
  ]
