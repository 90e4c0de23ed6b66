"""What tests of several rooms need."""

import pytest

from syndata_jax.benchmarks.pytorch import peers


@pytest.fixture
def no_torch(monkeypatch):
  """A Python that has no PyTorch."""
  find = peers.importlib.util.find_spec
  monkeypatch.setattr(
    peers.importlib.util,
    "find_spec",
    lambda name: None if name == "torch" else find(name),
  )
