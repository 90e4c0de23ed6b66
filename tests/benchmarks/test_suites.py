"""The suites on tiny cases, and their record."""

import json

import jax
import numpy as np
import pytest

from syndata_jax import attack
from syndata_jax.benchmarks import attack as attack_suite
from syndata_jax.benchmarks import convolution, ensemble, peers
from syndata_jax.benchmarks.figure import png
from syndata_jax.benchmarks.machine import describe
from syndata_jax.benchmarks.markdown import number, render
from syndata_jax.benchmarks.record import Suite
from syndata_jax.benchmarks.workload import Workload
from syndata_jax.models import lowerings

WORK = Workload("convnet", {"width": 4, "depth": 1}, (8, 8, 1), 4)
LAYER = convolution.Layer(2, 2, 4, 3, 4, 2, steps=2)
ROW = {
  "name": str,
  "peer": bool,
  "not_run": str,
  "work": float,
  "first_seconds": (float, type(None)),
  "round_seconds": list,
  "median_seconds": (float, type(None)),
  "rate": (float, type(None)),
  "rate_range": (list, type(None)),
  "ratio_to_best_peer": (float, type(None)),
  "peak_bytes": (float, type(None)),
  "utilisation": (float, type(None)),
}


@pytest.fixture
def no_torch(monkeypatch):
  find = peers.importlib.util.find_spec
  monkeypatch.setattr(
    peers.importlib.util,
    "find_spec",
    lambda name: None if name == "torch" else find(name),
  )


def test_the_loop_is_lira():
  scores, membership = attack_suite.example(6, 8, 3)
  assert (membership.sum(axis=1) == 4).all()
  np.testing.assert_allclose(
    attack_suite.loop(scores, membership), attack.lira(scores, membership)
  )


def test_without_torch_the_rest_is_run_and_one_line_says_so(no_torch):
  plan = ensemble.Plan(WORK, (2,), 2, 16)
  suite = Suite(
    "test",
    "images/s",
    (),
    (
      ensemble.against_pytorch(plan, 1),
      convolution.compare(LAYER, "training", 1),
    ),
  )
  for case in suite.cases:
    for row in case.rows:
      assert (row.not_run == peers.MISSING) == row.peer
      assert (row.rate is None) == row.peer
  (line,) = suite.absences
  assert line.startswith(peers.MISSING) and "\n" not in line


def test_all_contenders_of_the_ensemble_run():
  pytest.importorskip("torch", reason="the peers need PyTorch")
  case = ensemble.against_pytorch(ensemble.Plan(WORK, (1, 2), 2, 16), 2)
  assert [row.not_run for row in case.rows] == [""] * 5
  assert [row.peer for row in case.rows] == [False, False, True, True, True]
  assert all(row.work == 16 for row in case.rows)


def test_models_spread_over_devices():
  case = ensemble.over_devices(WORK, 2, jax.local_devices()[:3], 1)
  names = [row.name.partition(", ")[2] for row in case.rows]
  assert names == ["1 device", "2 devices"]
  assert all(row.rate > 0 for row in case.rows)


@pytest.mark.parametrize("operation", convolution.OPERATIONS)
def test_lowerings_and_torch_compute_one_operation(operation):
  case = convolution.compare(LAYER, operation, 1)
  assert [r.name for r in case.rows] == [
    *lowerings.NAMES,
    "PyTorch",
    "PyTorch, one thread",
  ]
  assert all(r.rate > 0 for r in case.rows if not r.peer)


def test_operations_are_counted():
  # One tap more or less would show: 2 x 9 taps x 2 x 2 pixels and so on.
  assert LAYER.gigaflops("forward") == pytest.approx(
    2e-9 * 9 * (2 * 2) * (3 * 4) * 2 * 2 * 2
  )
  assert LAYER.gigaflops("training") == 3 * LAYER.gigaflops("forward")


def test_the_record_is_complete_and_renders(no_torch):
  cases = (convolution.compare(LAYER, "forward", 2),)
  suite = Suite("Convolution", "GFLOP/s", ("A note.",), cases)
  record = json.loads(json.dumps(suite.to_json()))
  assert record.keys() == {"title", "unit", "notes", "cases"}
  for case in record["cases"]:
    assert case.keys() == {"name", "settings", "rows"}
    for row in case["rows"]:
      assert row.keys() == ROW.keys()
      for key, kind in ROW.items():
        assert isinstance(row[key], kind), (key, row[key])
  machine = describe("syndata-benchmark --quick")
  page = render(machine, [suite])
  assert "`syndata-benchmark --quick`" in page
  assert f"not run: {peers.MISSING}" in page
  assert all(f"**{name}**" in page for name in lowerings.NAMES)
  assert png(machine, [suite]).startswith(b"\x89PNG")


@pytest.mark.parametrize(
  "value, text",
  [
    (0.1234, "0.123"),
    (12, "12.0"),
    (99.97, "100"),
    (123.4, "123"),
    (12345, "12,300"),
  ],
)
def test_three_digits(value, text):
  assert number(value) == text
