"""Worst-case privacy audits of training on synthetic data, in JAX.

    report = syndata_jax.audit(train, test, paradigm="undefended", ...)
    report = syndata_jax.attack_logits(logits, labels, membership)

`help(syndata_jax.audit)` says everything about the first, and so on.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from syndata_jax.programs.library import attack_logits, audit
  from syndata_jax.reporting.report import Report

__version__ = "0.2.0"

__all__ = ["Report", "__version__", "attack_logits", "audit"]

# Imported when first asked for: JAX takes seconds, and the modules below import
# this one for its version.
_HOMES = {
  "Report": "syndata_jax.reporting.report",
  "attack_logits": "syndata_jax.programs.library",
  "audit": "syndata_jax.programs.library",
}


def __getattr__(name: str) -> Any:
  if name not in _HOMES:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
  return sorted({*globals(), *_HOMES})
