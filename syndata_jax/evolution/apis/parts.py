"""A function of many rows, computed for a few of them at a time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def in_parts(
  function: Callable[[Any], jax.Array], rows: Any, at_once: int
) -> jax.Array:
  """Applies a function to equal parts of the rows, one after another.

  Args:
    function: of a pytree like `rows` with fewer of them; its result has one row
      for each.
    rows: a pytree of arrays [B,...].
    at_once: rows of a part, at most.

  Returns:
    [B,...].
  """
  count = len(jax.tree.leaves(rows)[0])
  parts = max(1, -(-count // at_once))
  size = -(-count // parts)
  if parts == 1:
    return function(rows)
  # The last part is filled up with the first rows.
  places = np.arange(parts * size) % count
  split = jax.tree.map(
    lambda a: jnp.asarray(a)[places].reshape(parts, size, *a.shape[1:]), rows
  )
  result: jax.Array = jax.lax.map(function, split)
  return result.reshape(parts * size, *result.shape[2:])[:count]
