"""The suites of the benchmark program, with the peers they are held against.

A suite is an `Agenda` of cases: each a comparison timed in turns.
"""

from syndata_jax.benchmarks.figure import png
from syndata_jax.benchmarks.machine import describe
from syndata_jax.benchmarks.markdown import render
from syndata_jax.benchmarks.record import Case, Check, Suite
from syndata_jax.benchmarks.suites import SUITES

__all__ = ["SUITES", "Case", "Check", "Suite", "describe", "png", "render"]
