"""The suites by name."""

from collections.abc import Callable

from syndata_jax.benchmarks import (
  attack,
  convolution,
  distill,
  dpsgd,
  ensemble,
  parity,
)
from syndata_jax.benchmarks.record import Agenda

# suite(quick, rounds)
SUITES: dict[str, Callable[[bool, int], Agenda]] = {
  "parity": parity.suite,
  "conv": convolution.suite,
  "ensemble": ensemble.suite,
  "attack": attack.suite,
  "dpsgd": dpsgd.suite,
  "distill": distill.suite,
}
