"""The suites on tiny cases, and their record."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from syndata_jax import attack, benchmarks, models
from syndata_jax.benchmarks import attack as attack_suite
from syndata_jax.benchmarks import (
  compilation,
  convolution,
  ensemble,
  parity,
  peak,
  peers,
)
from syndata_jax.benchmarks.figure import png
from syndata_jax.benchmarks.machine import describe
from syndata_jax.benchmarks.markdown import number, render
from syndata_jax.benchmarks.record import Agenda, Job, Suite
from syndata_jax.benchmarks.workload import Workload
from syndata_jax.models import lowerings
from syndata_jax.programs import benchmark as program

WORK = Workload("convnet", {"width": 4, "depth": 1}, (8, 8, 1), 4)
LAYER = convolution.Layer(2, 2, 4, 3, 4, 2, steps=2)
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
    monkeypatch.setattr(ensemble.ours, "prepare", idle)
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


def test_the_second_compilation_comes_from_the_cache():
  hits = []
  jax.monitoring.register_event_listener(
    lambda event, **_: hits.append(event) if "cache_hits" in event else None
  )
  program = jax.jit(lambda x: jnp.sin(x) @ x)
  before = jax.config.jax_compilation_cache_dir
  compiled, seconds = compilation.twice(lambda: program.lower(np.eye(3)))
  np.testing.assert_allclose(compiled(np.eye(3)), np.sin(1) * np.eye(3))
  assert len(hits) == 1
  assert min(seconds) > 0
  assert jax.config.jax_compilation_cache_dir == before


def test_the_matmul_peak_is_that_of_the_machine():
  assert 1e9 < peak.measured() < 1e14
  devices = jax.local_devices()
  # CPU devices share the cores.
  assert peak.peak(devices[:1], jnp.float32) == peak.peak(devices, jnp.float32)


@pytest.fixture(scope="module")
def parity_check():
  return parity.check(WORK._replace(batch_size=8), 4, True)


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


def test_a_wrong_model_is_found_and_ends_the_program(
  parity_check, tmp_path, monkeypatch, capsys
):
  expected = parity.one_by_one(WORK, 2)
  wrong = expected.copy()
  wrong[1] *= 1.05  # one of the models
  row = parity._agreement("vmap", lambda: wrong, expected)
  assert row.difference == pytest.approx(0.05, rel=1e-3)
  lost = parity._agreement("lost", lambda: wrong * np.nan, expected)
  broken = parity_check._replace(rows=(row, lost))
  assert not any(map(broken.agrees, broken.rows))
  agenda = Agenda("Parity", "difference", (), (lambda: broken,))
  monkeypatch.setitem(benchmarks.SUITES, "parity", lambda *_: agenda)
  with pytest.raises(SystemExit) as end:
    program.measure(["parity"], True, 1, tmp_path, Console(quiet=True))
  assert str(end.value).count("\n") == 1 and "0.05" in str(end.value)
  page = (tmp_path / "benchmark.md").read_text()
  assert page.count("**NO**") == 2
  assert (tmp_path / "benchmark.png").exists()


def test_models_spread_over_devices():
  case = ensemble.over_devices(WORK, 2, jax.local_devices()[:3], 1)
  assert [row.scale for row in case.rows] == [1, 2]
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
  assert "of measured matmul peak" in page
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
