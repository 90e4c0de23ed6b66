"""What a benchmark found: suites of cases of rows, ready for JSON."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from syndata_jax.benchmarks.harness.timer import Timing, interleave, seconds


class NotRun(Exception):
  """A contender that cannot take part; the message is one line, why."""


class Compilation(NamedTuple):
  """Seconds from Python to a program that is ready to run."""

  first: float  # nothing was compiled before
  again: float  # in a new process, with JAX's persistent cache


class Job(NamedTuple):
  """A contender that is ready to be timed."""

  run: Callable[[], object]  # one round, done when it returns
  work: float  # units of work in one round
  flops: float = 0.0  # operations in a unit of work
  peak_flops: float | None = None  # what its devices can do a second
  # Bytes on a device at the worst moment; asked for after the last round.
  peak_bytes: Callable[[], float | None] = lambda: None
  compilation: Compilation | None = None  # where it is not in the first round


class Contender(NamedTuple):
  """Somebody who does the work of a case."""

  name: str
  peer: bool  # whether ours is held against it
  prepare: Callable[[], Job]  # not timed; raises `NotRun`
  scale: int | None = None  # where it stands on the case's axis


class Row(NamedTuple):
  """The result of one contender; `timing` is None where it was not run."""

  name: str
  peer: bool
  timing: Timing | None
  work: float
  peak_bytes: float | None
  flops: float
  peak_flops: float | None
  not_run: str
  compilation: Compilation | None = None
  scale: int | None = None

  @property
  def rate(self) -> float | None:
    """Units of work a second, in the median round."""
    return self.work / self.timing.median if self.timing else None

  @property
  def rates(self) -> tuple[float, float] | None:
    """The rates of the slowest and the fastest round."""
    if not self.timing:
      return None
    fast, slow = self.timing.spread
    return self.work / slow, self.work / fast

  @property
  def utilisation(self) -> float | None:
    """Share of the peak, None where that is not known."""
    if not self.rate or not self.peak_flops or not self.flops:
      return None
    return self.rate * self.flops / self.peak_flops


class Case(NamedTuple):
  """One comparison: all rows did the same kind of work, in turns."""

  name: str
  settings: dict[str, Any]
  rows: tuple[Row, ...]
  axis: str = ""  # what `scale` of the rows counts: "models", "devices"

  @property
  def best_peer(self) -> float | None:
    """The rate of the fastest peer, None where none ran."""
    return max((r.rate for r in self.rows if r.peer and r.rate), default=None)

  def ratio(self, row: Row) -> float | None:
    """How many times the best peer's rate a row reaches."""
    best = self.best_peer
    return row.rate / best if row.rate and best else None

  def to_json(self) -> dict[str, Any]:
    """The case as JSON-ready values."""
    return {
      "name": self.name,
      "settings": self.settings,
      "axis": self.axis,
      "rows": [_row(self, row) for row in self.rows],
    }


class Agreement(NamedTuple):
  """How far one way to compute differs; None where it was not run."""

  name: str
  difference: float | None  # NaN is a disagreement, too
  not_run: str = ""


class Check(NamedTuple):
  """One result computed in several ways; nothing is timed."""

  name: str
  settings: dict[str, Any]
  rows: tuple[Agreement, ...]
  tolerance: float

  def agrees(self, row: Agreement) -> bool:
    """Whether a way was run and its difference is within the tolerance."""
    return row.difference is not None and row.difference <= self.tolerance

  def to_json(self) -> dict[str, Any]:
    """The check as JSON-ready values."""
    return {
      "name": self.name,
      "settings": self.settings,
      "tolerance": self.tolerance,
      "rows": [
        row._asdict() | {"agrees": self.agrees(row)} for row in self.rows
      ],
    }


class Agenda(NamedTuple):
  """A suite that is still to be run, case by case."""

  title: str
  unit: str  # of rates
  notes: tuple[str, ...]  # how it is measured, a sentence each
  cases: tuple[Callable[[], Case | Check], ...]

  def result(self, cases: Sequence[Case | Check]) -> "Suite":
    """The suite with the cases that were run so far."""
    return Suite(self.title, self.unit, self.notes, tuple(cases))


class Suite(NamedTuple):
  """All cases of one subject."""

  title: str
  unit: str
  notes: tuple[str, ...]
  cases: tuple[Case | Check, ...]

  @property
  def timed(self) -> tuple[Case, ...]:
    """The cases that are comparisons of speed."""
    return tuple(case for case in self.cases if isinstance(case, Case))

  @property
  def disagreements(self) -> list[str]:
    """A line for each way to compute that differs too much."""
    return [
      f"{case.name}, {row.name}: differs by {row.difference:.2g}, more than"
      f" {case.tolerance:g}"
      for case in self.cases
      if isinstance(case, Check)
      for row in case.rows
      if row.difference is not None and not case.agrees(row)
    ]

  @property
  def absences(self) -> list[str]:
    """A line for each reason why a contender was not run."""
    reasons: dict[str, list[str]] = {}
    for case in self.cases:
      for row in case.rows:
        if row.not_run:
          reasons.setdefault(row.not_run, []).append(row.name)
    return [
      f"{reason}: {', '.join(dict.fromkeys(names))} not run"
      for reason, names in reasons.items()
    ]

  def to_json(self) -> dict[str, Any]:
    """The suite as JSON-ready values."""
    return {
      "title": self.title,
      "unit": self.unit,
      "notes": list(self.notes),
      "cases": [case.to_json() for case in self.cases],
    }


def _row(case: Case, row: Row) -> dict[str, Any]:
  timing = row.timing
  return {
    "name": row.name,
    "peer": row.peer,
    "not_run": row.not_run,
    "work": row.work,
    "first_seconds": timing.first if timing else None,
    "round_seconds": list(timing.rounds) if timing else [],
    "median_seconds": timing.median if timing else None,
    "rate": row.rate,
    "rate_range": row.rates,
    "ratio_to_best_peer": case.ratio(row),
    "peak_bytes": row.peak_bytes,
    "compile_seconds": row.compilation.first if row.compilation else None,
    "cached_compile_seconds": row.compilation.again
    if row.compilation
    else None,
    "flops_per_second": row.rate * row.flops if row.rate else None,
    "utilisation": row.utilisation,
    "scale": row.scale,
  }


def measure(
  name: str,
  settings: dict[str, Any],
  contenders: Sequence[Contender],
  rounds: int,
  axis: str = "",
) -> Case:
  """Warms up the contenders of one case and times them in turns.

  A contender that raises `NotRun`, in preparation or in its warm-up, becomes
  a row that says why.

  Args:
    name: of the case.
    settings: what was measured, JSON-ready.
    contenders: each prepared, warmed up, then timed.
    rounds: timed rounds, at least 1.
    axis: what `scale` of the contenders counts: "models", "devices".
  """
  jobs: dict[str, Job] = {}
  warm_up: dict[str, float] = {}
  absences: dict[str, str] = {}
  for contender in contenders:
    try:
      job = contender.prepare()
      warm_up[contender.name] = seconds(job.run)
    except NotRun as reason:
      absences[contender.name] = str(reason)
    else:
      jobs[contender.name] = job
  times = interleave(
    {n: job.run for n, job in jobs.items()},
    {n: job.work for n, job in jobs.items()},
    rounds,
  )

  def row(contender: Contender) -> Row:
    name, peer, _, scale = contender
    if name in absences:
      reason = absences[name]
      return Row(name, peer, None, 0.0, None, 0.0, None, reason, scale=scale)
    job = jobs[name]
    return Row(
      name,
      peer,
      Timing(warm_up[name], times[name]),
      job.work,
      job.peak_bytes(),
      job.flops,
      job.peak_flops,
      "",
      job.compilation,
      scale,
    )

  return Case(name, settings, tuple(map(row, contenders)), axis)
