"""Which design an audit is: who is judged, by which references.

A reference of model j is any other model; an IN reference trained on the
example and an OUT reference did not.

| design | judged | references |
|---|---|---|
| `shadow_models` | every model in turn | all the others |
| `target` | one model | the others, which are not judged |
| `one_run` | the only model | none |

The first two are offline where some example lacks IN references.
"""

from typing import Literal, NamedTuple

import numpy as np

Audit = Literal["shadow_models", "target", "one_run"]


class Design(NamedTuple):
  """What a population of examples admits."""

  audit: Audit
  inside: int  # the fewest IN references that any judged example has
  outside: int  # the fewest OUT references
  # Whether each judged model finds some example with two IN references, and
  # some with two OUT references: without, there is no spread to learn from.
  inside_spreads: bool
  outside_spreads: bool


def recognise(membership: np.ndarray, target: int | None = None) -> Design:
  """Reads the design off bool[Q, M] and the model to judge, if it is one."""
  if membership.shape[1] == 1:
    return Design("one_run", 0, 0, False, False)
  inside, outside = reference_counts(membership, target)
  return Design(
    "shadow_models" if target is None else "target",
    int(inside.min()),
    int(outside.min()),
    bool((inside.max(axis=0) > 1).all()),
    bool((outside.max(axis=0) > 1).all()),
  )


def judged_models(models: int, target: int | None) -> np.ndarray:
  """i64[J], the models that are judged: all M, or the target alone."""
  return np.arange(models) if target is None else np.array([target])


def judged(values: np.ndarray, target: int | None) -> np.ndarray:
  """[Q, J], the columns of the judged models in an array [Q, M]."""
  return values[:, judged_models(values.shape[1], target)]


def others(models: int, target: int | None) -> np.ndarray:
  """f64[J, M], 1 where a model is a reference of the judged one, else 0."""
  return 1.0 - np.eye(models)[judged_models(models, target)]


def reference_counts(
  membership: np.ndarray, target: int | None
) -> tuple[np.ndarray, np.ndarray]:
  """How many IN and OUT references each judged example has, i64[Q, J] each."""
  both = others(membership.shape[1], target).astype(int)
  return membership @ both.T, (~membership) @ both.T


def checked(
  scores: np.ndarray, membership: np.ndarray, target: int | None
) -> tuple[np.ndarray, np.ndarray]:
  """Scores f64[Q, M, A] and membership bool[Q, M], or ValueError.

  Args:
    scores: real, finite.
    membership: truth values of the same first two axes.
    target: one of 0..M-1, or None.
  """
  scores = np.asarray(scores, np.float64)
  membership = np.asarray(membership, bool)
  if scores.ndim != 3 or scores.shape[:2] != membership.shape:
    raise ValueError(
      f"scores {scores.shape} and membership {membership.shape} do not match: "
      "[Q, M, A] and [Q, M] needed"
    )
  if 0 in scores.shape:
    raise ValueError(f"scores {scores.shape} are empty: no axis of 0 allowed")
  if not np.isfinite(scores).all():
    raise ValueError("scores hold a value that is not finite")
  models = membership.shape[1]
  if target is not None and not 0 <= target < models:
    raise ValueError(f"target={target}: 0 to {models - 1} allowed")
  return scores, membership


def check_references(
  membership: np.ndarray,
  target: int | None,
  inside: int,
  outside: int,
) -> None:
  """Raises ValueError if a judged example has too few references.

  Args:
    membership: bool[Q, M].
    target: the model to judge; None for each in turn.
    inside: IN references needed.
    outside: OUT references needed.
  """
  members = membership.sum(axis=1)
  noun = ""
  if target is None:
    # The judged model is one of the row, and on either side.
    inside, outside = inside + (inside > 0), outside + (outside > 0)
  else:
    members = members - membership[:, target]
    noun = " among the references"
  rest = membership.shape[1] - (target is not None) - members
  short = np.flatnonzero((members < inside) | (rest < outside))
  if short.size:
    row = short[0]
    need = f"at least {outside} non-members"
    if inside:
      need = f"at least {inside} and {outside}"
    if inside == outside:
      need = f"at least {inside} of each"
    raise ValueError(
      f"membership row {row} has {members[row]} members and {rest[row]} "
      f"non-members{noun}: {need} needed"
    )
