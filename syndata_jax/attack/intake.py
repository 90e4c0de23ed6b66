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
"""

import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import ml_dtypes
import numpy as np

from syndata_jax import files
from syndata_jax.attack import comma_separated, confidence, predictions
from syndata_jax.attack.predictions import PredictionFile
from syndata_jax.errors import UserError, prefixed

_LOGITS = ("logits", "log_probabilities", "log_probs")
_PROBABILITIES = ("probabilities", "probs")
_NUMBERS = ("losses", "confidences", "scores")
# The first that is there counts: logits say more than a loss.
FORMS = (*_LOGITS, *_PROBABILITIES, *_NUMBERS)
_PREFIXES = ("", "average_", "dummy_")
_TABLES = (".csv", ".tsv", ".txt")

# How far the sum of a row of probabilities may be from 1: half precision, or
# text of a few decimals.
_SLACK = 0.01


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
  forms = (prefix + form for prefix in _PREFIXES for form in FORMS)
  return name in forms or predictions.is_known(name)


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
        arrays[name] = _logits(arrays[name], name, arrays.get("labels"), notes)
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
  forms = [form for form in FORMS if prefix + form in arrays]
  if not forms:
    raise ValueError(
      f"{prefix}logits is missing: {prefix}logits, {prefix}labels,"
      f" {prefix}membership needed; or, in place of logits, probabilities,"
      " losses, confidences or scores"
    )
  form, *others = forms
  name = prefix + form
  if others:
    notes.append(f"{', '.join(others)}: not used beside {name}")
  values, labels = arrays[name], arrays.get(f"{prefix}labels")
  used = None if form in _NUMBERS else labels
  _check_axes(arrays, name, prefix, used, notes)
  if form not in _NUMBERS:
    return {f"{prefix}logits": _logits(values, name, labels, notes)}
  scores = _scores(values, name, notes)
  return {
    f"{prefix}logits": np.stack([scores, np.zeros_like(scores)], axis=-1),
    f"{prefix}labels": np.zeros(len(scores), np.int32),
  }


def _check_axes(
  arrays: Mapping[str, np.ndarray],
  name: str,
  prefix: str,
  labels: np.ndarray | None,
  notes: list[str],
) -> None:
  """Raises ValueError where models come before examples.

  A loop over models that stacks its answers makes them so.

  Args:
    arrays: by name.
    name: of the values.
    prefix: of the population.
    labels: one an example, where they matter.
    notes: where to say what cannot be decided.
  """
  shape = arrays[name].shape
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


def _logits(
  values: np.ndarray,
  name: str,
  labels: np.ndarray | None,
  notes: list[str],
) -> np.ndarray:
  """Logits or log-probabilities [..., K], K >= 2, of what may be either.

  Args:
    values: float[Q, M, A, K], [Q, M, K], or with one output [Q, M] or K = 1.
    name: of the array.
    labels: integer[Q].
    notes: where to say what was recognised.
  """
  named = name.endswith(_PROBABILITIES)
  if values.dtype.kind != "f" or not values.size:
    return values  # refused by the checks, which know what is allowed
  if values.ndim == 2 or (values.ndim in (3, 4) and values.shape[-1] == 1):
    values = _one_output(values, name, labels, notes)
    if values.shape[-1] == 2:
      return values
  if np.isnan(values).any():
    return values
  low, high = values.min(), values.max()
  fraction = low >= 0 and high <= 1 + _SLACK
  if named and not fraction:
    wrong = low if low < 0 else high
    raise ValueError(f"{name} holds {wrong}: 0 to 1 allowed")
  if fraction:
    sums = values.sum(axis=-1, dtype=np.float64)
    worst = float(sums.flat[np.abs(sums - 1).argmax()])
    if abs(worst - 1) <= _SLACK:
      return _told(
        name, "probabilities", confidence.log_probabilities(values), notes
      )
    if named:
      raise ValueError(f"{name} has a row that sums to {worst:.4g}: 1 needed")
    if low < high:
      notes.append(
        f"{name} lies within 0 and 1, but rows do not sum to 1: read as"
        " logits; of sigmoids pass log(p / (1 - p))"
      )
  elif high <= _SLACK and _are_logarithms(values):
    if low == -np.inf:
      where = np.argwhere(np.isneginf(values))[0].tolist()
      raise ValueError(
        f"{name} holds -inf at {where}, the logarithm of a probability of 0:"
        " clip probabilities at 1e-12 before the logarithm, or pass them as"
        " probabilities"
      )
    notes.append(f"{name} holds log-probabilities: same scores as of logits")
  return values


def _are_logarithms(values: np.ndarray) -> bool:
  """Whether all rows are logarithms of numbers that sum to 1."""
  sums = np.exp(values, dtype=np.float64).sum(axis=-1)
  return bool((np.abs(sums - 1) <= _SLACK).all())


def _one_output(
  values: np.ndarray,
  name: str,
  labels: np.ndarray | None,
  notes: list[str],
) -> np.ndarray:
  """Two-class logits (0, z) of the single output z for class 1.

  Args:
    values: float[Q, M], [Q, M, 1] or [Q, M, A, 1].
    name: of the array.
    labels: integer[Q], 0 and 1.
    notes: where to say so.
  """
  if labels is None or not np.isin(labels, (0, 1)).all():
    raise ValueError(
      f"{name} has shape {values.shape}: [examples, models, views, classes] or "
      "[examples, models, classes] needed; one output a model is for labels 0"
      " and 1 alone"
    )
  output = values if values.ndim == 2 else values[..., 0]
  low, high = output.min(), output.max()
  if 0 <= low < high <= 1:
    output = _told(
      name,
      "one probability, of class 1",
      confidence.from_confidences(output),
      notes,
    )
  elif name.endswith(_PROBABILITIES):
    raise ValueError(f"{name} holds {low} to {high}: 0 to 1 allowed")
  else:
    notes.append(f"{name} holds one logit for two classes, that of class 1")
  return np.stack([np.zeros_like(output), output], axis=-1)


def _scores(values: np.ndarray, name: str, notes: list[str]) -> np.ndarray:
  """Finite scores float[Q, M, A] of losses, confidences or scores.

  Args:
    values: as the table above says.
    name: of the array.
    notes: where to say what became of them.
  """
  if values.dtype.kind != "f":
    raise ValueError(f"{name} has dtype {values.dtype}: floating point needed")
  if values.ndim not in (2, 3) or not values.size:
    raise ValueError(
      f"{name} has shape {values.shape}: [examples, models] or [examples,"
      " models, views] needed"
    )
  if values.ndim == 2:
    values = values[:, :, None]
  form = next(form for form in _NUMBERS if name.endswith(form))
  low, high, allowed = {
    "losses": (0.0, np.finfo(np.float32).max, "0 and above, finite"),
    "confidences": (0.0, 1.0, "0 to 1"),
    "scores": (-np.inf, np.inf, "finite numbers"),
  }[form]
  # Written so that NaN fails.
  wrong = ~((values >= low) & (values <= high)) | np.isinf(values)
  if wrong.any():
    where = np.argwhere(wrong)[0]
    place = where[:2].tolist()
    raise ValueError(
      f"{name} holds {values[tuple(where)]} at {place}: {allowed} allowed"
    )
  if form == "losses":
    return _told(name, "losses", confidence.from_losses(values), notes)
  if form == "confidences":
    return _told(
      name, "confidences", confidence.from_confidences(values), notes
    )
  return values


def _told(
  name: str,
  what: str,
  converted: confidence.Converted,
  notes: list[str],
) -> np.ndarray:
  """The values, after a note on what they were made of.

  Args:
    name: of the array.
    what: it holds.
    converted: what became of it.
    notes: where to say so.
  """
  became = (
    "their logarithms are" if what == "probabilities" else "log(p / (1 - p)) is"
  )
  note = f"{name} holds {what}: {became} attacked"
  if converted.zeros:
    note += (
      f"; {converted.zeros} values were rounded to 0 or 1, taken for"
      f" {converted.stand_in:.2g} from there: logits would tell them apart"
    )
  notes.append(note)
  return converted.values


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
