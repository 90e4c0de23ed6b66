"""The suites of the benchmark program, with the peers they are held against.

A suite is an `Agenda` of cases: each a comparison timed in turns. Three rooms:
`harness` measures and writes, `pytorch` holds the peers, and `suites` says what
is compared. Imports run one way, suites -> pytorch -> harness.
"""

from syndata_jax.benchmarks.harness.figure import png
from syndata_jax.benchmarks.harness.machine import describe
from syndata_jax.benchmarks.harness.markdown import render
from syndata_jax.benchmarks.harness.record import Case, Check, Suite
from syndata_jax.benchmarks.suites import SUITES

__all__ = ["SUITES", "Case", "Check", "Suite", "describe", "png", "render"]
