"""The suites by name."""

from collections.abc import Callable

from syndata_jax.benchmarks import attack, convolution, ensemble
from syndata_jax.benchmarks.record import Agenda

# suite(quick, rounds)
SUITES: dict[str, Callable[[bool, int], Agenda]] = {
  "conv": convolution.suite,
  "ensemble": ensemble.suite,
  "attack": attack.suite,
}
