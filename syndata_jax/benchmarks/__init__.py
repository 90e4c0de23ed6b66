"""The suites of the benchmark program, with the peers they are held against.

Every suite returns a `Suite`: comparisons timed in turns on this machine.
"""

from syndata_jax.benchmarks.figure import png
from syndata_jax.benchmarks.machine import describe
from syndata_jax.benchmarks.markdown import render
from syndata_jax.benchmarks.record import Suite
from syndata_jax.benchmarks.suites import SUITES

__all__ = ["SUITES", "Suite", "describe", "png", "render"]
