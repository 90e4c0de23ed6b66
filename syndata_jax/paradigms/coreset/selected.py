"""Which canaries a selection kept: what the audit reports beside leakage.

A canary that a model never learns from cannot leak from it, so the members
among the canaries are of two kinds, to be judged apart.
"""

import numpy as np


def selected(members: np.ndarray, canary_index: np.ndarray) -> np.ndarray:
  """Which models learn from which canary.

  Args:
    members: i32[M,m], the rows of the pool that were kept.
    canary_index: i32[Q], rows of the pool.

  Returns:
    bool[Q,M].
  """
  return np.stack([np.isin(canary_index, own) for own in members], axis=1)


def selected_share(kept: np.ndarray, membership: np.ndarray) -> np.ndarray:
  """The share of each model's own canaries that it kept.

  Args:
    kept: bool[Q,M], what `selected` returns.
    membership: bool[Q,M], at least one canary in each model.

  Returns:
    f64[M].
  """
  return (kept & membership).sum(axis=0) / membership.sum(axis=0)
