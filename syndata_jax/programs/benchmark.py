"""syndata-benchmark: how fast this machine is, and how fast PyTorch is on it.

    syndata-benchmark --out=runs/benchmark
    syndata-benchmark --suite=ensemble --quick --out=runs/benchmark

Each comparison is timed in turns. Writes benchmark.json, benchmark.md and
benchmark.png, anew after every case, so that a run that is cut short leaves
what it has. The suite `parity` times nothing: it checks that all ways to train
give the same models, and the program ends with exit code 1 if they do not.
Peers need `pip install 'syndata_jax[benchmark]'`.
"""

import os
import pathlib
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import jax
from absl import flags
from rich.console import Console

from syndata_jax import benchmarks
from syndata_jax.errors import UserError
from syndata_jax.files import write, write_json
from syndata_jax.programs.start import start

_SUITE = flags.DEFINE_enum(
  "suite", "all", [*benchmarks.SUITES, "all"], "What to measure."
)
_OUT = flags.DEFINE_string("out", None, "The folder for the result.")
_QUICK = flags.DEFINE_bool(
  "quick", False, "Fewer and smaller cases: five minutes on two CPU cores."
)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Timed rounds of each contender.")


def main() -> None:
  """Runs the suites that the flags name."""
  if not _OUT.value:
    raise UserError("--out: name the folder for the result")
  if _ROUNDS.value < 1:
    raise UserError(f"--rounds={_ROUNDS.value}: must be at least 1")
  out = _open(_OUT.value)
  # PyTorch needs its half of the GPU; the cache would hide compilation.
  os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
  if "XLA_PYTHON_CLIENT_MEM_FRACTION" not in os.environ:
    os.environ.setdefault("XLA_CLIENT_MEM_FRACTION", "0.5")
  jax.config.update("jax_enable_compilation_cache", False)
  names = list(benchmarks.SUITES) if _SUITE.value == "all" else [_SUITE.value]
  measure(names, _QUICK.value, _ROUNDS.value, out, Console())


def measure(
  names: Sequence[str],
  quick: bool,
  rounds: int,
  out: pathlib.Path,
  console: Console,
) -> None:
  """Runs the suites, writes their results into `out`, and prints them.

  Args:
    names: of `benchmarks.SUITES`.
    quick: whether to take fewer and smaller cases.
    rounds: timed rounds of each contender.
    out: an existing folder.
    console: where to print.

  Raises:
    SystemExit: ways to train that give different models.
  """
  program = pathlib.Path(sys.argv[0]).name
  machine = benchmarks.describe(shlex.join([program, *sys.argv[1:]]))
  results: dict[str, benchmarks.Suite] = {}
  for name in names:
    agenda = benchmarks.SUITES[name](quick, rounds)
    cases: list[benchmarks.Case | benchmarks.Check] = []
    for number, case in enumerate(agenda.cases, 1):
      with console.status(f"{name}: case {number} of {len(agenda.cases)}"):
        cases.append(case())
      results[name] = agenda.result(cases)
      _write(out, machine, quick, results)
    for reason in results[name].absences:
      console.print(f"{name}: {reason}", highlight=False, soft_wrap=True)
  page = (out / "benchmark.md").read_text(encoding="utf-8")
  console.print(page, highlight=False, markup=False, soft_wrap=True)
  console.print(f"Everything is in {out}", highlight=False)
  disagreements = [
    line for suite in results.values() for line in suite.disagreements
  ]
  if disagreements:
    sys.exit("\n".join(f"{program}: {line}" for line in disagreements))


def _write(
  out: pathlib.Path,
  machine: dict[str, Any],
  quick: bool,
  suites: dict[str, benchmarks.Suite],
) -> None:
  """Writes all three files anew.

  Args:
    out: the folder.
    machine: from `benchmarks.describe`.
    quick: what the flag said.
    suites: by name, with the cases that were run so far.
  """
  results = list(suites.values())
  record = {
    "quick": quick,
    "machine": machine,
    "suites": {name: suite.to_json() for name, suite in suites.items()},
  }
  write_json(out / "benchmark.json", record)
  write(out / "benchmark.md", benchmarks.render(machine, results))
  write(out / "benchmark.png", benchmarks.png(machine, results))


def _open(path: str) -> pathlib.Path:
  """The folder, made if need be and proved writable before hours are spent."""
  out = pathlib.Path(path)
  probe = out / ".writable"
  try:
    out.mkdir(parents=True, exist_ok=True)
    probe.touch()
    probe.unlink()
  except OSError as error:
    raise UserError(
      f"--out={path}: cannot be written ({error.strerror})"
    ) from error
  return out


def run() -> None:
  """The console script."""
  start(main)


if __name__ == "__main__":
  run()
