"""Checks of arrays that come from outside, each with one clear line.

Every message starts with the name of the array and says what it holds and what
is allowed; the caller adds the file.
"""

from collections.abc import Mapping, Sequence

import numpy as np

# Leaving the judged model out must leave two members and two non-members, for
# a variance of each example's own.
MIN_PER_SIDE = 3
# One of either must be left in any case.
_FEWEST_PER_SIDE = 2


def population(
  arrays: Mapping[str, np.ndarray],
  names: Sequence[str],
  target: int | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Checks one population and brings it to the dtypes of the design.

  Args:
    arrays: by name.
    names: those of the logits, labels and membership among `arrays`.
    target: the model that is judged by the others; None where each is.

  Returns:
    logits f32[Q, M, A, K], labels i32[Q], membership bool[Q, M].

  Raises:
    ValueError: naming the array at fault.
  """
  for name in names:
    if name not in arrays:
      raise ValueError(f"{name} is missing: {', '.join(names)} needed")
  logits, labels, membership = (np.asarray(arrays[name]) for name in names)
  logits = _logits(logits, names[0])
  queries, models, _, classes = logits.shape
  labels = _labels(labels, names[1], queries, classes)
  membership = _membership(membership, names[2], queries, models)
  audited(membership, names[2], target)
  return logits, labels, membership


def same_models(logits: np.ndarray, name: str, reference: np.ndarray) -> None:
  """Raises ValueError unless both logits are of as many models and classes."""
  for axis, noun in ((1, "models"), (3, "classes")):
    count, expected = logits.shape[axis], reference.shape[axis]
    if count != expected:
      raise ValueError(f"{name} has {count} {noun}: {expected} as in logits")


def other_logits(
  logits: np.ndarray, name: str, reference: np.ndarray
) -> np.ndarray:
  """f32[Q, M, A, K] of the shape of the reference, or ValueError."""
  logits = _logits(np.asarray(logits), name)
  if logits.shape != reference.shape:
    raise ValueError(
      f"{name} has shape {logits.shape}: {reference.shape} as logits needed"
    )
  return logits


def audited(membership: np.ndarray, name: str, target: int | None) -> None:
  """Raises ValueError if no design of an audit admits bool[Q, M].

  Args:
    membership: bool[Q, M].
    name: of the array.
    target: the model that is judged by the others; None where each is.
  """
  models = membership.shape[1]
  if target is not None and target >= models:
    raise ValueError(f"target={target}: 0 to {models - 1} allowed")
  if models == 1:
    both_in_column(membership, name, "of one model")
  elif target is not None:
    both_in_column(membership[:, target], name, f"of the target, {target}")
    _enough_references(membership, name, target)
  else:
    try:
      both_sides(membership, name, _FEWEST_PER_SIDE)
    except ValueError as error:
      raise ValueError(
        f"{error}, or a target that the other models are references for, or"
        " one model alone"
      ) from error


def _enough_references(membership: np.ndarray, name: str, target: int) -> None:
  outside = np.delete(~membership, target, axis=1).sum(axis=1)
  short = np.flatnonzero(outside < _FEWEST_PER_SIDE)
  if short.size:
    raise ValueError(
      f"{name} row {short[0]} has {outside[short[0]]} non-members beside target"
      f" {target}: at least {_FEWEST_PER_SIDE} needed"
    )


def both_sides(
  membership: np.ndarray, name: str, fewest: int = MIN_PER_SIDE
) -> None:
  """Raises ValueError if a row of bool[Q, M] has too few of either side.

  Args:
    membership: bool[Q, M].
    name: of the array.
    fewest: members, and non-members, that a row needs.
  """
  inside = membership.sum(axis=1)
  outside = membership.shape[1] - inside
  short = np.flatnonzero(np.minimum(inside, outside) < fewest)
  if short.size:
    row = short[0]
    raise ValueError(
      f"{name} row {row} has {inside[row]} members and {outside[row]} "
      f"non-members: at least {fewest} of each needed"
    )


def both_in_column(column: np.ndarray, name: str, whose: str) -> None:
  """Raises ValueError if bool[Q] has no member or no non-member.

  Args:
    column: of the membership.
    name: of the array.
    whose: the model, in words.
  """
  if column.all() == column.any():
    raise ValueError(
      f"{name} has {column.sum()} members among {column.size} examples"
      f" {whose}: at least one member and one non-member needed"
    )


def test_accuracy(values: np.ndarray, name: str, models: int) -> np.ndarray:
  """f32[M] of fractions, or ValueError."""
  values = np.asarray(values)
  _dtype(values, name, "f", "floating point")
  _shape(values, name, (models,))
  # Written so that NaN fails.
  wrong = values[~((values >= 0) & (values <= 1))]
  if wrong.size:
    raise ValueError(f"{name} holds {wrong[0]}: fractions from 0 to 1 allowed")
  return values.astype(np.float32)


def selected(values: np.ndarray, membership: np.ndarray) -> np.ndarray:
  """bool[Q, M], true for members only, or ValueError."""
  values = np.asarray(values)
  _shape(values, "selected", membership.shape)
  if values.dtype != bool:
    raise ValueError(f"selected is {values.dtype}: bool needed")
  if (values & ~membership).any():
    raise ValueError("selected is true for a non-member: members only allowed")
  return values


def closeness(
  values: np.ndarray, name: str, shape: tuple[int, ...]
) -> np.ndarray:
  """Finite f32[Q, M], or ValueError.

  Args:
    values: float[Q, M].
    name: of the array.
    shape: (Q, M).
  """
  values = np.asarray(values)
  _dtype(values, name, "f", "floating point")
  _shape(values, name, shape)
  return _finite(values, name)


def target(value: np.ndarray) -> int:
  """A model's number, or ValueError; `audited` knows how many there are."""
  value = np.asarray(value)
  _dtype(value, "target", "iu", "an integer")
  _shape(value, "target", ())
  if value < 0:
    raise ValueError(f"target={value}: 0 or above allowed")
  return int(value)


def _logits(logits: np.ndarray, name: str) -> np.ndarray:
  _dtype(logits, name, "f", "floating point")
  if logits.ndim == 3:
    logits = logits[:, :, None]
  if logits.ndim != 4 or 0 in logits.shape or logits.shape[3] < 2:
    raise ValueError(
      f"{name} has shape {logits.shape}: [examples, models, views, classes] or "
      "[examples, models, classes] needed, with 2 classes or more"
    )
  return _finite(logits, name)


def _labels(
  labels: np.ndarray, name: str, queries: int, classes: int
) -> np.ndarray:
  """i32[Q], or ValueError.

  Args:
    labels: integer[Q] in 0..K-1.
    name: of the array.
    queries: Q.
    classes: K.
  """
  _dtype(labels, name, "iu", "integers")
  _shape(labels, name, (queries,))
  wrong = labels[(labels < 0) | (labels >= classes)]
  if wrong.size:
    raise ValueError(f"{name} holds {wrong[0]}: 0 to {classes - 1} allowed")
  return labels.astype(np.int32)


def _membership(
  membership: np.ndarray, name: str, queries: int, models: int
) -> np.ndarray:
  """bool[Q, M], or ValueError.

  Args:
    membership: [Q, M] of truth values, or 0 and 1.
    name: of the array.
    queries: Q.
    models: M.
  """
  _dtype(membership, name, "biuf", "bool, or 0 and 1")
  _shape(membership, name, (queries, models))
  wrong = membership[(membership != 0) & (membership != 1)]
  if wrong.size:
    raise ValueError(f"{name} holds {wrong[0]}: 0 and 1 allowed")
  return membership.astype(bool)


def _dtype(array: np.ndarray, name: str, kinds: str, allowed: str) -> None:
  if array.dtype.kind not in kinds:
    raise ValueError(f"{name} has dtype {array.dtype}: {allowed} needed")


def _shape(array: np.ndarray, name: str, shape: tuple[int, ...]) -> None:
  if array.shape != shape:
    raise ValueError(f"{name} has shape {array.shape}: {shape} needed")


def _finite(values: np.ndarray, name: str) -> np.ndarray:
  """The same as f32, or ValueError."""
  # A float64 beyond the range of float32 becomes infinite, which is refused.
  with np.errstate(over="ignore"):
    values = values.astype(np.float32, copy=False)
  if not np.isfinite(values).all():
    where = np.argwhere(~np.isfinite(values))[0].tolist()
    raise ValueError(
      f"{name} holds {values[tuple(where)]} at {where}: finite float32 allowed"
    )
  return values
