"""Timing in turns: order, warm-up, and who is timed only once."""

import itertools

import pytest

from syndata_jax.benchmarks.harness.record import (
  Case,
  Contender,
  Job,
  NotRun,
  Row,
  measure,
)
from syndata_jax.benchmarks.harness.timer import HOPELESS, Timing, interleave


def _recorders(names, calls):
  return {n: lambda n=n: calls.append(n) for n in names}


def test_contenders_take_turns():
  calls = []
  ticks = itertools.count()  # every round takes one second
  taken = interleave(
    _recorders("AB", calls), {"A": 1, "B": 1}, 3, lambda: float(next(ticks))
  )
  assert "".join(calls) == "ABABAB"
  assert taken == {"A": (1.0, 1.0, 1.0), "B": (1.0, 1.0, 1.0)}


@pytest.mark.parametrize("work, order", [(1.0, "ABAA"), (2.0, "ABABAB")])
def test_the_hopeless_keep_to_one_round(work, order):
  calls = []
  now = [0.0]

  def run(name, takes):
    calls.append(name)
    now[0] += takes

  contenders = {
    "A": lambda: run("A", 1.0),
    "B": lambda: run("B", HOPELESS + 0.5),
  }
  # Doing more in a round makes the same time a better pace.
  taken = interleave(contenders, {"A": 1.0, "B": work}, 3, lambda: now[0])
  assert "".join(calls) == order
  assert taken["A"] == (1.0, 1.0, 1.0)


def test_each_contender_warms_up_once_and_before_all_rounds():
  calls = []
  contenders = [
    Contender(n, False, lambda run=run: Job(run, 1.0))
    for n, run in _recorders("AB", calls).items()
  ]
  measure("case", {}, contenders, 1)
  assert "".join(calls) == "ABAB"


def test_absent_contenders_leave_a_reason():
  def missing():
    raise NotRun("no such library")

  def explodes():
    raise NotRun("out of memory")

  contenders = [
    Contender("ours", False, lambda: Job(lambda: None, 2.0)),
    Contender("missing", True, missing),
    Contender("too large", True, lambda: Job(explodes, 2.0)),
  ]
  ours, *others = measure("case", {}, contenders, 2).rows
  assert ours.rate > 0 and ours.not_run == ""
  assert [row.not_run for row in others] == ["no such library", "out of memory"]
  assert all(row.rate is None for row in others)


def test_rates_and_ratios():
  def row(name, peer, *rounds):
    timing = Timing(9.0, rounds)
    return Row(name, peer, timing, 100.0, None, 2.0, 400.0, "")

  ours = row("ours", False, 1.0, 0.5, 2.0)
  slow, fast = row("slow", True, 4.0), row("fast", True, 2.0)
  case = Case("case", {}, (ours, slow, fast))
  assert ours.rate == 100.0
  assert ours.rates == (50.0, 200.0)
  assert ours.utilisation == 0.5
  assert case.best_peer == 50.0
  assert case.ratio(ours) == 2.0
  assert Case("alone", {}, (ours,)).ratio(ours) is None
