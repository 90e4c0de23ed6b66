"""The suite that times nothing: whether all ways to train agree."""

import numpy as np
import pytest
from rich.console import Console

from syndata_jax import benchmarks
from syndata_jax.benchmarks.harness.record import Agenda
from syndata_jax.benchmarks.harness.workload import Workload
from syndata_jax.benchmarks.suites import parity
from syndata_jax.models import lowerings
from syndata_jax.programs import benchmark as program

WORK = Workload("convnet", {"width": 4, "depth": 1}, (8, 8, 1), 4)


@pytest.fixture(scope="module")
def parity_check():
  return parity.check(WORK._replace(batch_size=8), 4, True)


@pytest.mark.slow
def test_all_ways_to_train_agree(parity_check):
  names = [row.name for row in parity_check.rows]
  assert names[:4] == [
    "vmap",
    "loop over models",
    "loop over chunks",
    "all devices",
  ]
  assert len(names) == 4 + len(lowerings.NAMES) - 1
  assert all(map(parity_check.agrees, parity_check.rows))
  # Far below what is allowed: this is rounding.
  assert max(row.difference for row in parity_check.rows) < 1e-4


def test_a_wrong_model_is_found_and_ends_the_program(tmp_path, monkeypatch):
  expected = parity.one_by_one(WORK, 2)
  wrong = expected.copy()
  wrong[1] *= 1.05  # one of the models
  row = parity._agreement("vmap", lambda: wrong, expected)
  assert row.difference == pytest.approx(0.05, rel=1e-3)
  lost = parity._agreement("lost", lambda: wrong * np.nan, expected)
  tolerance = parity.TOLERANCE["float32"]
  broken = parity.Check("two models", WORK.settings(), (row, lost), tolerance)
  assert not any(map(broken.agrees, broken.rows))
  agenda = Agenda("Parity", "difference", (), (lambda: broken,))
  monkeypatch.setitem(benchmarks.SUITES, "parity", lambda *_: agenda)
  with pytest.raises(SystemExit) as end:
    program.measure(["parity"], True, 1, tmp_path, Console(quiet=True))
  assert str(end.value).count("\n") == 1 and "0.05" in str(end.value)
  page = (tmp_path / "benchmark.md").read_text()
  assert page.count("**NO**") == 2
  assert (tmp_path / "benchmark.png").exists()
