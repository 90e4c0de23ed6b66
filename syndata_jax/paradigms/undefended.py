"""The undefended baseline: SGD on the private data."""

from syndata_jax.ensemble import Engine
from syndata_jax.paradigms.interface import Paradigm, private_data, sgd


def make(engine: Engine) -> Paradigm:
  """Both steps are the default ones."""
  return Paradigm(synthesize=private_data, learn=sgd(engine))
