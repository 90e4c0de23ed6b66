"""The moving average of a model's parameters, with a warm-up."""

from typing import Any

import jax
import jax.numpy as jnp
import optax


def moved(average: Any, params: Any, step: jax.Array, decay: float) -> Any:
  """The average after one more update.

  Its decay grows to `decay` as (1 + t) / (10 + t), so that the first
  parameters are soon forgotten. Source: De et al., arXiv 2204.13650, section
  3.4.

  Args:
    average: so far; the fresh parameters before the first update.
    params: after the update.
    step: i32[], t, updates before this one.
    decay: share that stays, at most.
  """
  t = step.astype(jnp.float32)
  grown = jnp.minimum(decay, (1 + t) / (10 + t))
  return optax.incremental_update(params, average, 1 - grown)
