"""The suite of convolutions, on one tiny layer."""

import pytest

from syndata_jax.benchmarks.harness.workload import Layer
from syndata_jax.benchmarks.suites import convolution
from syndata_jax.models import lowerings

LAYER = Layer(2, 2, 4, 3, 4, 2, steps=2)


@pytest.mark.slow
@pytest.mark.parametrize("operation", convolution.OPERATIONS)
def test_lowerings_and_torch_compute_one_operation(operation):
  case = convolution.compare(LAYER, operation, 1)
  assert [r.name for r in case.rows] == [
    *lowerings.NAMES,
    "PyTorch",
    "PyTorch, one thread",
  ]
  assert all(r.rate > 0 for r in case.rows if not r.peer)
