"""What a machine can do, how long it compiles, and what is counted as work."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from syndata_jax.benchmarks.harness import compilation, peak
from syndata_jax.benchmarks.harness.workload import Layer


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


def test_operations_are_counted():
  layer = Layer(2, 2, 4, 3, 4, 2, steps=2)
  # One tap more or less would show: 2 x 9 taps x 2 x 2 pixels and so on.
  assert layer.gigaflops("forward") == pytest.approx(
    2e-9 * 9 * (2 * 2) * (3 * 4) * 2 * 2 * 2
  )
  assert layer.gigaflops("training") == 3 * layer.gigaflops("forward")
