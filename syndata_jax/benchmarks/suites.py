"""The suites by name."""

from collections.abc import Callable

from syndata_jax.benchmarks import attack, convolution, ensemble
from syndata_jax.benchmarks.record import Suite

# suite(quick, rounds)
SUITES: dict[str, Callable[[bool, int], Suite]] = {
  "conv": convolution.suite,
  "ensemble": ensemble.suite,
  "attack": attack.suite,
}
