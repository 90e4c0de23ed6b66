"""The suites by name."""

from collections.abc import Callable

from syndata_jax.benchmarks.harness.record import Agenda
from syndata_jax.benchmarks.suites import (
  attack,
  convolution,
  diffusion,
  distillation,
  dpsgd,
  ensemble,
  evolution,
  parity,
)

# suite(quick, rounds)
SUITES: dict[str, Callable[[bool, int], Agenda]] = {
  "parity": parity.suite,
  "conv": convolution.suite,
  "ensemble": ensemble.suite,
  "attack": attack.suite,
  "dpsgd": dpsgd.suite,
  "distill": distillation.suite,
  "diffusion": diffusion.suite,
  "evolution": evolution.suite,
}
