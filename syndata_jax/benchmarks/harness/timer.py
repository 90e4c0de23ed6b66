"""Timing in turns: A B A B, so that whatever slows the machine slows both."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

# Who is slower than the fastest by more than this is timed only once: its
# place is clear, and its rounds would eat the time of the close ones.
HOPELESS = 4.0


class Timing(NamedTuple):
  """Wall times of one contender, in seconds."""

  first: float  # the warm-up round, compilation included
  rounds: tuple[float, ...]

  @property
  def median(self) -> float:
    """The middle round."""
    return statistics.median(self.rounds)

  @property
  def spread(self) -> tuple[float, float]:
    """The fastest and the slowest round."""
    return min(self.rounds), max(self.rounds)


def seconds(
  run: Callable[[], object], clock: Callable[[], float] = time.perf_counter
) -> float:
  """How long one call takes."""
  start = clock()
  run()
  return clock() - start


def interleave(
  contenders: Mapping[str, Callable[[], object]],
  work: Mapping[str, float],
  rounds: int,
  clock: Callable[[], float] = time.perf_counter,
) -> dict[str, tuple[float, ...]]:
  """Runs all contenders in turns; they are warm already.

  Args:
    contenders: by name, a function that does one round of work and returns
      when it is done.
    work: by name, how much work a round of the contender is, so that those
      with different amounts can be compared.
    rounds: timed rounds, at least 1; a contender slower than the fastest by
      more than a factor of `HOPELESS` keeps to the first.
    clock: seconds.

  Returns:
    The seconds of each round of each contender.
  """
  times = {n: [seconds(run, clock)] for n, run in contenders.items()}
  pace = {n: taken[0] / work[n] for n, taken in times.items()}
  limit = HOPELESS * min(pace.values(), default=0.0)
  for _ in range(rounds - 1):
    for name, run in contenders.items():
      if pace[name] <= limit:
        times[name].append(seconds(run, clock))
  return {name: tuple(taken) for name, taken in times.items()}
