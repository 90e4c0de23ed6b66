"""The forms in which models answer, one array at a time.

Each is recognised by its name and its content. What was taken for what is said
in one line, which is added to `notes`.
"""

import numpy as np

from syndata_jax.attack import confidence

_LOGITS = ("logits", "log_probabilities", "log_probs")
_PROBABILITIES = ("probabilities", "probs")
NUMBERS = ("losses", "confidences", "scores")
# The first that is there counts: logits say more than a loss.
FORMS = (*_LOGITS, *_PROBABILITIES, *NUMBERS)

# How far the sum of a row of probabilities may be from 1: half precision, or
# text of a few decimals.
_SLACK = 0.01

_ODDS = "log(p / (1 - p)) is attacked"


def form_of(name: str) -> str:
  """One of `FORMS`: the name of an array without its population."""
  return name.removeprefix("average_").removeprefix("dummy_")


def logits(
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
  named = form_of(name) in _PROBABILITIES
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
      note = f"{name} holds probabilities: their logarithms are attacked"
      return _told(note, confidence.log_probabilities(values), notes)
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
    note = f"{name} holds one probability, of class 1: {_ODDS}"
    output = _told(note, confidence.from_confidences(output), notes)
  elif form_of(name) in _PROBABILITIES:
    raise ValueError(f"{name} holds {low} to {high}: 0 to 1 allowed")
  else:
    notes.append(f"{name} holds one logit for two classes, that of class 1")
  return np.stack([np.zeros_like(output), output], axis=-1)


def scores(values: np.ndarray, name: str, notes: list[str]) -> np.ndarray:
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
  form = form_of(name)
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
    note = f"{name} are read as cross-entropies, p = exp(-loss): {_ODDS}"
    return _told(note, confidence.from_losses(values), notes)
  if form == "confidences":
    note = f"{name} are read as probabilities of the label: {_ODDS}"
    return _told(note, confidence.from_confidences(values), notes)
  return values


def _told(
  note: str, converted: confidence.Converted, notes: list[str]
) -> np.ndarray:
  """The values, after a note on what they were made of.

  Args:
    note: the array, what it holds and what of it is attacked.
    converted: what became of it.
    notes: where to say so.
  """
  if converted.zeros:
    note += (
      f"; {converted.zeros} values were rounded to 0 or 1, taken for"
      f" {converted.stand_in:.2g} from there: logits would tell them apart"
    )
  notes.append(note)
  return converted.values
