"""The undefended baseline: SGD on the private data."""

from functools import partial

from syndata_jax.ensemble import Engine, sgd
from syndata_jax.paradigms.interface import Paradigm, private_data


def make(engine: Engine) -> Paradigm:
  """Both steps are the default ones."""
  return Paradigm(engine, private_data, partial(sgd, engine))
