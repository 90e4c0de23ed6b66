"""The ways to train that are audited, all behind one small interface.

A paradigm is two steps. `synthesize` turns private data into what the shadow
models learn from, and `learn` trains them on it; either may be the default.
Each is a module of this package with its settings, a frozen dataclass
`Options`, and `make(engine, options, private) -> Paradigm`, which checks them.
"""

import importlib
from typing import Any

from syndata_jax.data.training_set import Private
from syndata_jax.ensemble import Engine
from syndata_jax.errors import UserError
from syndata_jax.paradigms.check import Outcome, check, run
from syndata_jax.paradigms.interface import Paradigm, Queried

NAMES = ("coreset", "distillation", "dpsgd", "undefended")


def options_type(name: str) -> type:
  """The dataclass of a paradigm's own settings.

  Raises:
    UserError: no paradigm has this name.
  """
  return _module(name).Options


def alternatives(options: type) -> tuple[tuple[str, str], ...]:
  """Pairs of settings of which exactly one is set, and the other is zero."""
  return getattr(options, "ALTERNATIVES", ())


def create(
  name: str, engine: Engine, options: Any, private: Private
) -> Paradigm:
  """The paradigm called `name`.

  Args:
    name: one of `NAMES`.
    engine: the tools of the final training.
    options: of `options_type(name)`.
    private: what it will be given, for checks.

  Raises:
    UserError: no paradigm has this name, or it refuses a setting.
  """
  paradigm = _module(name).make(engine, options, private)
  return paradigm._replace(private=private)


def _module(name: str) -> Any:
  if name not in NAMES:
    raise UserError(f"paradigm={name!r}: must be one of {', '.join(NAMES)}")
  return importlib.import_module(f"{__name__}.{name}")


__all__ = [
  "NAMES",
  "Outcome",
  "Paradigm",
  "Private",
  "Queried",
  "alternatives",
  "check",
  "create",
  "options_type",
  "run",
]
