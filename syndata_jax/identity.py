"""What a run, or a stage of one, must have in common with another to go on.

An identity is a dict ready for JSON. Two that differ are refused in one line
that says in what.
"""

import hashlib
import operator
import platform
from collections.abc import Callable, Mapping
from typing import Any

import flax
import jax
import jaxlib
import numpy as np

from syndata_jax import __version__


def circumstances() -> dict[str, Any]:
  """What changes the numbers of a seed, beside settings and data."""
  jax_says: dict[str, Any] = jax.config.values
  return {
    "version": __version__,
    "prng": jax_says["jax_default_prng_impl"],
    "partitionable": jax_says["jax_threefry_partitionable"],
    "float64": jax_says["jax_enable_x64"],
  }


def versions() -> dict[str, str]:
  """Of what computes, for reports: they decide no identity."""
  return {
    "syndata_jax": __version__,
    "jax": jax.__version__,
    "jaxlib": jaxlib.__version__,
    "flax": flax.__version__,
    "numpy": np.__version__,
    "python": platform.python_version(),
  }


def digest(*arrays: np.ndarray | None) -> str:
  """A short digest of arrays, their types and shapes."""
  whole = hashlib.sha256()
  for array in arrays:
    if array is None:
      whole.update(b"none")
      continue
    whole.update(f"{array.dtype}{array.shape}".encode())
    whole.update(np.ascontiguousarray(array).data)
  return whole.hexdigest()[:16]


def differences(
  there: Mapping[str, Any],
  here: Mapping[str, Any],
  same: Callable[[Any, Any], bool] = operator.eq,
) -> list[str]:
  """Says of each field that differs what it is there and here.

  Args:
    there: the stored identity.
    here: that of this run.
    same: whether two values of one field count as equal.
  """
  return [
    f"{name} is {there.get(name)!r} there and {here.get(name)!r} here"
    for name in sorted(there.keys() | here.keys())
    if not same(there.get(name), here.get(name))
  ]
