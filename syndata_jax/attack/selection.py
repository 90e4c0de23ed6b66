"""Canaries that a paradigm left out of what its models learned from.

A coreset keeps some of the private examples. What was left out cannot leak,
so members are of two kinds, and are judged apart on the same non-members.
"""

from typing import Any

import numpy as np

from syndata_jax.attack import roc


def selection(
  scores: np.ndarray, membership: np.ndarray, selected: np.ndarray
) -> dict[str, Any]:
  """Leakage of the members that were selected, and of those that were not.

  Args:
    scores: real[Q, M]; high means member.
    membership: bool[Q, M], whether model m owns example q.
    selected: bool[Q, M], whether it learned from it; members only.

  Returns:
    A dict ready for JSON: `share`, the fraction of each model's members that
    was selected, M numbers, or None for a model that owns none of the examples;
    `selected` and `unselected`, the TPR of these members at each level of FPR
    over all non-members, keyed by the level as text, or None where there are
    no such members.

  Raises:
    ValueError: an example was selected by a model that does not own it.
  """
  if (selected & ~membership).any():
    raise ValueError("selected holds an example that is no member")
  counts = zip(selected.sum(axis=0), membership.sum(axis=0), strict=True)
  share = [float(part / whole) if whole else None for part, whole in counts]

  def rates(members: np.ndarray) -> dict[str, float] | None:
    if not members.any():
      return None
    judged = members | ~membership
    curve = roc.roc_curve(scores[judged], members[judged])
    return {str(fpr): float(curve.tpr_at(fpr)) for fpr in roc.FPR_LEVELS}

  return {
    "share": share,
    "selected": rates(selected),
    "unselected": rates(membership & ~selected),
  }
