"""The suite of the shadow ensemble on tiny networks, and its record."""

import functools
import json

import jax
import pytest

from syndata_jax import models
from syndata_jax.benchmarks import describe, png, render
from syndata_jax.benchmarks.harness.record import Job, Suite
from syndata_jax.benchmarks.harness.workload import Layer, Workload
from syndata_jax.benchmarks.pytorch import peers
from syndata_jax.benchmarks.suites import convolution, ensemble
from syndata_jax.models import lowerings
from syndata_jax.reporting.formats import memory

WORK = Workload("convnet", {"width": 4, "depth": 1}, (8, 8, 1), 4)
LAYER = Layer(2, 2, 4, 3, 4, 2, steps=2)
ROW = {
  "name": str,
  "peer": bool,
  "not_run": str,
  "work": (int, float),
  "first_seconds": (float, type(None)),
  "round_seconds": list,
  "median_seconds": (float, type(None)),
  "rate": (float, type(None)),
  "rate_range": (list, type(None)),
  "ratio_to_best_peer": (float, type(None)),
  "peak_bytes": (int, type(None)),
  "compile_seconds": (float, type(None)),
  "cached_compile_seconds": (float, type(None)),
  "flops_per_second": (float, type(None)),
  "utilisation": (float, type(None)),
  "scale": (int, type(None)),
}


@pytest.mark.slow
def test_without_torch_the_rest_is_run_and_one_line_says_so(no_torch):
  plan = ensemble.Plan(WORK, (2,), 2, 16)
  suite = Suite(
    "test",
    "images/s",
    (),
    (
      ensemble.against_pytorch(plan, 1, False),
      convolution.compare(LAYER, "training", 1),
    ),
  )
  for case in suite.cases:
    for row in case.rows:
      assert (row.not_run == peers.MISSING) == row.peer
      assert (row.rate is None) == row.peer
  (line,) = suite.absences
  assert line.startswith(peers.MISSING) and "\n" not in line


@pytest.mark.slow
def test_all_contenders_of_the_ensemble_run():
  pytest.importorskip("torch", reason="the peers need PyTorch")
  case = ensemble.against_pytorch(ensemble.Plan(WORK, (1, 2), 2, 16), 2, False)
  assert [row.not_run for row in case.rows] == [""] * 5
  assert [row.peer for row in case.rows] == [False, False, True, True, True]
  assert all(row.work == 16 for row in case.rows)
  assert all(0 < row.utilisation < 1 for row in case.rows)
  for row in case.rows[:2]:
    assert row.compilation.first > 0 and row.compilation.again > 0
    assert row.peak_bytes > 0
  assert [row.scale for row in case.rows] == [1, 2, None, None, None]


def _tiny(plan):
  options = plan.work.options | {"width": 1 if "wide" in plan.work.model else 4}
  if plan.work.model == "wide_resnet":
    options["depth"] = 10
  if plan.work.model == "convnet":
    options["depth"] = 1
  work = plan.work._replace(
    options=options, image_shape=(8, 8, 3), batch_size=4
  )
  return plan._replace(work=work, models=(2,), vmapped=2, images=8)


@pytest.mark.slow
@pytest.mark.parametrize(
  "plan", ensemble.plans(False, True), ids=lambda plan: plan.work.model
)
def test_the_plans_for_accelerators_run(plan, monkeypatch):
  """In bfloat16 and compiled, by a backend that needs no C++ compiler."""
  torch = pytest.importorskip("torch", reason="the peers need PyTorch")
  monkeypatch.setattr(
    torch, "compile", functools.partial(torch.compile, backend="eager")
  )
  if plan.work.model != "convnet":  # time to compile ours
    idle = lambda *_: Job(lambda: None, 8)
    monkeypatch.setattr(ensemble.task, "undefended", idle)
  case = ensemble.against_pytorch(_tiny(plan), 1, True)
  assert [row.not_run for row in case.rows] == [""] * 4
  assert [row.name.partition(", ")[2] for row in case.rows] == [
    "M = 2",
    "sequential, compiled",
    "sequential, CUDA graphs",
    "torch.func, M = 2",
  ]


def test_every_network_is_timed_for_1_8_and_32_models():
  for accelerator in (False, True):
    plans = ensemble.plans(False, accelerator)
    assert {plan.work.model for plan in plans} == set(models.NAMES)
    assert all({1, 8, 32} <= set(plan.models) for plan in plans)


@pytest.mark.slow
def test_models_spread_over_devices():
  case = ensemble.over_devices(WORK, 2, jax.local_devices()[:3], 1)
  assert [row.scale for row in case.rows] == [1, 2]
  names = [row.name.partition(", ")[2] for row in case.rows]
  assert names == ["1 device", "2 devices"]
  assert all(row.rate > 0 for row in case.rows)


@pytest.mark.slow
def test_the_record_is_complete_and_renders(no_torch):
  work = ensemble.over_devices(WORK, 2, jax.local_devices()[:2], 1)
  by_models = work._replace(name="by models", axis="models")
  cases = (convolution.compare(LAYER, "forward", 2), work, by_models)
  suite = Suite("Convolution", "GFLOP/s", ("A note.",), cases)
  record = json.loads(json.dumps(suite.to_json()))
  assert record.keys() == {"title", "unit", "notes", "cases"}
  for case in record["cases"]:
    assert case.keys() == {"name", "settings", "axis", "rows"}
    for row in case["rows"]:
      assert row.keys() == ROW.keys()
      for key, kind in ROW.items():
        assert isinstance(row[key], kind), (key, row[key])
  machine = describe("syndata-benchmark --quick")
  page = render(machine, [suite])
  assert "`syndata-benchmark --quick`" in page
  assert f"not run: {peers.MISSING}" in page
  assert all(f"**{name}**" in page for name in lowerings.NAMES)
  assert "| Memory of one device | M = 1 | M = 2 |" in page
  assert memory(by_models.rows[0].peak_bytes) in page
  assert "of measured matmul peak" in page
  assert png(machine, [suite]).startswith(b"\x89PNG")
