"""The ways to train that are audited, all behind one small interface.

A paradigm is two steps. `synthesize` turns private data into what the shadow
models learn from, and `learn` trains them on it; either may be the default.
Each is a module with `make(engine, options, private) -> Paradigm`, and its
settings, a frozen dataclass `Options` in which every field has a default,
where it has any. `make` checks them. Modules of this package go by their name;
`syndata_jax.plugins` says how others are named.
"""

import dataclasses
from typing import Any

from syndata_jax import plugins
from syndata_jax.data.training_set import Private
from syndata_jax.ensemble import Engine
from syndata_jax.paradigms.check import Outcome, check, run
from syndata_jax.paradigms.interface import (
  Paradigm,
  Queried,
  private_data,
)

NAMES = (
  "coreset",
  "data_free",
  "diffusion",
  "distillation",
  "dpsgd",
  "private_evolution",
  "stable_diffusion",
  "undefended",
)
EXTENSION_POINT = plugins.ExtensionPoint(
  field="paradigm",
  function="make(engine, options, private)",
  group="syndata_jax.paradigms",
  names=NAMES,
  package=__name__,
)


@dataclasses.dataclass(frozen=True)
class NoOptions:
  """The settings of a paradigm that has none."""


def options_type(name: str) -> type:
  """The dataclass of a paradigm's own settings.

  Raises:
    UserError: see `plugins.resolve`; or its `Options` is not a frozen
      dataclass, or has a field without a default.
  """
  module = plugins.resolve(EXTENSION_POINT, name)
  options = getattr(module, "Options", NoOptions)
  if not isinstance(options, type) or not _is_frozen(options):
    raise EXTENSION_POINT.refusal(name, "Options must be a frozen dataclass")
  for field in dataclasses.fields(options):
    missing = dataclasses.MISSING
    if field.default is missing and field.default_factory is missing:
      raise EXTENSION_POINT.refusal(
        name, f"Options.{field.name} has no default: every field must have one"
      )
  return options


def alternatives(options: type) -> tuple[tuple[str, str], ...]:
  """Pairs of settings of which exactly one is set, and the other is zero."""
  return getattr(options, "ALTERNATIVES", ())


def infinite(options: type) -> tuple[str, ...]:
  """Settings that may be infinite, such as an epsilon without a guarantee."""
  return getattr(options, "INFINITE", ())


def unread(options: Any) -> frozenset[str]:
  """Settings that decide nothing under the others, such as another method's."""
  return getattr(options, "unread", frozenset())


def create(
  name: str, engine: Engine, options: Any, private: Private
) -> Paradigm:
  """The paradigm called `name`.

  Args:
    name: one of `NAMES`, or of another module: see `plugins.resolve`.
    engine: the tools of the final training.
    options: of `options_type(name)`.
    private: what it will be given, for checks.

  Raises:
    UserError: no paradigm has this name, it refuses a setting, or its `make`
      returns something else.
  """
  module = plugins.resolve(EXTENSION_POINT, name)
  paradigm = module.make(engine, options, private)
  if not isinstance(paradigm, Paradigm):
    raise EXTENSION_POINT.refusal(
      name,
      f"make returned {type(paradigm).__name__}: must be a"
      " syndata_jax.paradigms.Paradigm",
    )
  return paradigm._replace(private=private)


def _is_frozen(options: type) -> bool:
  parameters = getattr(options, "__dataclass_params__", None)
  return parameters is not None and parameters.frozen


__all__ = [
  "EXTENSION_POINT",
  "NAMES",
  "NoOptions",
  "Outcome",
  "Paradigm",
  "Private",
  "Queried",
  "alternatives",
  "check",
  "create",
  "infinite",
  "options_type",
  "private_data",
  "run",
  "unread",
]
