"""The suite of Private Evolution, tiny."""

import jax.numpy as jnp
import numpy as np
import pytest

from syndata_jax.benchmarks.suites import evolution as suite
from syndata_jax.evolution.options import EvolutionOptions

SEARCH = suite.Search(300, 200, 16)
TASK = suite.Task(
  100,
  EvolutionOptions(noise_multiplier=1.0, num_iterations=2, num_samples=40),
)


def test_votes_are_those_of_faiss():
  pytest.importorskip("faiss")
  ours = suite.prepare_votes(SEARCH).run()
  np.testing.assert_array_equal(ours, suite.prepare_faiss(SEARCH).run())
  case = suite.of_votes(SEARCH, 1, apart=False)
  assert case.rows[0].rate > 0 and case.settings["ratio"] > 0


def test_both_render_the_same_shapes():
  draw = np.random.default_rng(0)
  shape, view = draw.integers(0, 10, 20), draw.uniform(-1, 1, (20, 3))
  samples = {"shape": jnp.asarray(shape), "view": jnp.asarray(view)}
  ours = np.asarray(suite.Shapes().render(samples)).reshape(20, -1)
  np.testing.assert_allclose(ours, suite.render(shape, view), atol=1e-5)


@pytest.mark.slow
def test_runs_of_one_of_many_and_of_the_loop():
  case = suite.of_runs(TASK, 2, 1)
  assert [row.work for row in case.rows] == [200.0, 400.0, 200.0]
  assert all(row.rate for row in case.rows)
  assert case.settings["cost_of_many"] > 0


@pytest.mark.slow
def test_memory_in_a_process_of_its_own():
  search = suite.Search(2000, 2000, 512)
  case = suite.of_votes(search, 1)
  ours = case.rows[0]
  assert ours.peak_bytes is None or ours.peak_bytes > 0
