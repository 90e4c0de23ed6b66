"""What people hand in, brought to the arrays of `predictions.py`.

Models that were trained elsewhere answer in many forms. Each is recognised by
its name and its content, and what was taken for what is said in one line: the
notes. Nothing is unpickled.

| array | holds |
|---|---|
| `logits` | float[Q, M, A, K], or [Q, M, K] of one view; log-probabilities do |
| | as well, and probabilities are known by rows that sum to 1 |
| `logits` | [Q, M, A, 1], [Q, M, 1] or [Q, M]: one output for two classes |
| `probabilities`, `probs` | the same shapes |
| `losses` | float[Q, M] or [Q, M, A], cross-entropy of the label, in nats |
| `confidences` | the same shapes, the probability of the label |
| `scores` | the same shapes, high for a member; attacked as they are |

with `membership`, and `labels` beside the first three. Scores of one number
become the logits (score, 0) of two classes with the label 0: their hinge and
logit score both are the number. All may have the prefix `average_` or `dummy_`.
What else there may be, such as how close released images come to the examples,
is in the table of `predictions.load_predictions`.
"""

import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import ml_dtypes
import numpy as np

from syndata_jax import files
from syndata_jax.attack import comma_separated, forms, predictions
from syndata_jax.attack.predictions import PredictionFile
from syndata_jax.errors import UserError, prefixed

_PREFIXES = ("", "average_", "dummy_")
_TABLES = (".csv", ".tsv", ".txt")


class Intake(NamedTuple):
  """Predictions as attacks need them, and what was made of the input."""

  file: PredictionFile
  notes: tuple[str, ...]  # one line each, for people


def take_in(path: files.Path, target: str | None = None) -> Intake:
  """Reads predictions in any of the forms above.

  Args:
    path: an `.npz` file, a folder of `.npy` files named like the arrays, or a
      `.csv` table (see `comma_separated`).
    target: the model to judge, the others being references: its number, or
      what a table calls it. None for what the file says.

  Raises:
    UserError: the file cannot be read, or an array is not as above.
  """
  path = pathlib.Path(path)
  models = None
  if path.suffix.lower() in _TABLES and not path.is_dir():
    arrays, _, models = comma_separated.read(path)
  elif path.suffix.lower() == ".npy" and path.is_file():
    raise UserError(
      f"{path}: one array without a name: write all by numpy.savez('all.npz',"
      " logits=..., labels=..., membership=...), or name a folder that holds"
      " logits.npy, labels.npy and membership.npy"
    )
  elif path.is_dir():
    arrays = files.read_folder(path, is_known)
  else:
    arrays = files.read_arrays(path, is_known)
  if target is not None:
    arrays[predictions.TARGET] = np.array(_number(target, models))
  with prefixed(str(path)):
    return take_in_arrays(arrays)


def is_known(name: str) -> bool:
  """Whether an array of this name has a meaning here."""
  known = (prefix + form for prefix in _PREFIXES for form in forms.FORMS)
  return name in known or predictions.is_known(name)


def take_in_arrays(given: Mapping[str, np.ndarray]) -> Intake:
  """The same of arrays by name.

  Raises:
    UserError: an array is not as above.
  """
  notes: list[str] = []
  try:
    arrays = {name: _widened(each, name, notes) for name, each in given.items()}
    for prefix in _PREFIXES:
      if not prefix or any(name.startswith(prefix) for name in arrays):
        arrays |= _population(arrays, prefix, notes)
    for name in arrays:
      if name.startswith("other_") and name.endswith("_logits"):
        arrays[name] = forms.logits(
          arrays[name], name, arrays.get("labels"), notes
        )
    _name_the_target(arrays, notes)
  except ValueError as error:
    raise UserError(str(error)) from error
  return Intake(predictions.checked(arrays), tuple(notes))


def _number(target: str, models: list[str] | None) -> int:
  """The column of the model of that name, or number.

  Args:
    target: as in `take_in`.
    models: what a table calls them, or None.
  """
  if models is not None:
    if target not in models:
      raise UserError(f"--target={target}: one of {', '.join(models)} allowed")
    return models.index(target)
  if not target.isdecimal():
    raise UserError(f"--target={target}: the number of a model needed, from 0")
  return int(target)


def _widened(array: np.ndarray, name: str, notes: list[str]) -> np.ndarray:
  """bfloat16 as float32; an .npz file says of it that it is two raw bytes."""
  array = np.asarray(array)
  if array.dtype == np.dtype("V2"):
    array = array.view(ml_dtypes.bfloat16)
  if array.dtype != ml_dtypes.bfloat16:
    return array
  notes.append(f"{name} is bfloat16: its scores have two or three digits")
  return array.astype(np.float32)


def _population(
  arrays: Mapping[str, np.ndarray], prefix: str, notes: list[str]
) -> dict[str, np.ndarray]:
  """Logits and labels of one population, of the form that it has.

  Args:
    arrays: by name.
    prefix: of the population's arrays.
    notes: where to say what was done.
  """
  present = [form for form in forms.FORMS if prefix + form in arrays]
  if not present:
    raise ValueError(
      f"{prefix}logits is missing: {prefix}logits, {prefix}labels,"
      f" {prefix}membership needed; or, in place of logits, probabilities,"
      " losses, confidences or scores"
    )
  form, *others = present
  name = prefix + form
  if others:
    notes.append(f"{', '.join(others)}: not used beside {name}")
  values, labels = arrays[name], arrays.get(f"{prefix}labels")
  _check_axes(arrays, name, prefix, notes)
  if form not in forms.NUMBERS:
    return {f"{prefix}logits": forms.logits(values, name, labels, notes)}
  scores = forms.scores(values, name, notes)
  return {
    f"{prefix}logits": np.stack([scores, np.zeros_like(scores)], axis=-1),
    f"{prefix}labels": np.zeros(len(scores), np.int32),
  }


def _check_axes(
  arrays: Mapping[str, np.ndarray],
  name: str,
  prefix: str,
  notes: list[str],
) -> None:
  """Raises ValueError where models come before examples.

  A loop over models that stacks its answers makes them so.

  Args:
    arrays: by name.
    name: of the values.
    prefix: of the population.
    notes: where to say what cannot be decided.
  """
  shape, labels = arrays[name].shape, arrays.get(f"{prefix}labels")
  membership = np.shape(arrays.get(f"{prefix}membership", ()))
  if len(shape) < 2 or len(membership) != 2:
    return
  rows, columns = shape[:2]
  if rows == columns:
    return
  examples = rows if labels is None or labels.ndim != 1 else len(labels)
  needed = "axes look swapped: [examples, models] needed first"
  transposed = f"numpy.swapaxes({name}, 0, 1)"
  if examples == columns:
    if membership == (rows, columns):
      transposed += f" and {prefix}membership.T"
    raise ValueError(
      f"{name} has shape {shape} beside {examples} {prefix}labels: {needed},"
      f" {transposed}"
    )
  if membership == (columns, rows):
    cure = f"{prefix}membership.T"
    if labels is None:
      cure += f" or {transposed}"
    raise ValueError(
      f"{prefix}membership has shape {membership} beside {name} {shape}:"
      f" {needed}, {cure}"
    )
  if labels is None and columns > rows:
    notes.append(
      f"{name} {list(shape)} is read as {rows} examples and {columns} models;"
      " if it is the other way round, transpose all arrays"
    )


def _name_the_target(arrays: dict[str, np.ndarray], notes: list[str]) -> None:
  """Recognises the one model with members, where the others have none."""
  membership = np.asarray(arrays.get("membership", ()))
  if predictions.TARGET in arrays or membership.ndim != 2:
    return
  trained = np.flatnonzero((membership != 0).any(axis=0))
  if membership.shape[1] > 1 and len(trained) == 1:
    arrays[predictions.TARGET] = trained[0]
    notes.append(
      f"model {trained[0]} alone has members: it is the target, judged by the"
      " others as references"
    )
