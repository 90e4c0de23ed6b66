"""The ways to train that are audited, all behind one small interface.

A paradigm is two steps. `synthesize` turns private data into what the shadow
models learn from, and `learn` trains them on it. Each is a module of this
package with `make(engine) -> Paradigm`; either step may be the default.
"""

import importlib

from syndata_jax.ensemble import Engine
from syndata_jax.errors import UserError
from syndata_jax.paradigms.interface import Paradigm, Private

NAMES = ("undefended",)


def create(name: str, engine: Engine) -> Paradigm:
  """The paradigm called `name`, from the module of that name.

  Raises:
    UserError: no paradigm has this name.
  """
  if name not in NAMES:
    raise UserError(f"paradigm={name!r}: must be one of {', '.join(NAMES)}")
  return importlib.import_module(f"{__name__}.{name}").make(engine)


__all__ = ["NAMES", "Paradigm", "Private", "create"]
