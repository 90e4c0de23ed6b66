"""What an attack is given: the predictions of shadow models, in one file.

`predictions.npz` may come from this package or from anyone who trained shadow
models elsewhere, so it is checked whole before anything is computed. Q
examples, M models, A views (augmented queries), K classes.
"""

import io
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from syndata_jax.attack import validate
from syndata_jax.errors import UserError


class Predictions(NamedTuple):
  """What M models say about Q examples, each a member of some models."""

  logits: np.ndarray  # f32[Q, M, A, K]; view 0 is the untouched image
  labels: np.ndarray  # i32[Q], those of training: wrong if mislabelled
  membership: np.ndarray  # bool[Q, M], whether model m trained on example q


class PredictionFile(NamedTuple):
  """The content of one `predictions.npz`; both populations share the models."""

  canaries: Predictions
  average: Predictions | None = None  # ordinary examples, correctly labelled
  test_accuracy: np.ndarray | None = None  # f32[M], fractions
  # bool[Q, M], the canaries that each model learned from, where it left out
  # some of those that it owns.
  selected: np.ndarray | None = None


_CANARIES = Predictions._fields
_AVERAGE = tuple(f"average_{name}" for name in _CANARIES)
_ACCURACY = "test_accuracy"
_SELECTED = "selected"


def load_predictions(path: str | os.PathLike) -> PredictionFile:
  """Reads and checks a file of predictions; nothing in it is unpickled.

  Args:
    path: an `.npz` file with the arrays

      | name | type | allowed |
      |---|---|---|
      | `logits` | float[Q, M, A, K] | finite as f32; [Q, M, K] is one view |
      | `labels` | integer[Q] | 0..K-1, the label of training |
      | `membership` | bool[Q, M], or 0 and 1 | at least 3 of each in a row |
      | `test_accuracy` | float[M], optional | fractions, 0..1 |
      | `selected` | bool[Q, M], optional | members only |

      and, optionally, the first three again with the prefix `average_`, for
      the same models and classes. Rows of membership need not be balanced;
      with one model, at least one member and one non-member are enough.
      Other arrays are ignored.

  Returns:
    The arrays as f32, i32 and bool, logits always with the axis of views.

  Raises:
    UserError: the file cannot be read, or an array in it breaks the table.
  """
  return _checked(_read(path), path)


def save_predictions(path: str | os.PathLike, file: PredictionFile) -> None:
  """Writes a file that `load_predictions` reads back equal.

  The file is there in full or not at all, and equal predictions give equal
  bytes.

  Raises:
    UserError: predictions that `load_predictions` would refuse, such as the
      logits of a model that diverged.
  """
  buffer = io.BytesIO()
  arrays = _named(_checked(_named(file), path))
  np.savez(buffer, allow_pickle=False, **arrays)
  target = epath.Path(path)
  partial = target.with_name(f".{target.name}.partial")
  try:
    partial.write_bytes(buffer.getvalue())
    partial.replace(target)
  finally:
    partial.unlink(missing_ok=True)


def _named(file: PredictionFile) -> dict[str, Any]:
  arrays = dict(zip(_CANARIES, file.canaries, strict=True))
  if file.average is not None:
    arrays |= zip(_AVERAGE, file.average, strict=True)
  if file.test_accuracy is not None:
    arrays[_ACCURACY] = file.test_accuracy
  if file.selected is not None:
    arrays[_SELECTED] = file.selected
  return arrays


def _read(path) -> dict[str, np.ndarray]:
  """The arrays of the file that have a meaning here."""
  try:
    with epath.Path(path).open("rb") as stream:
      archive = np.load(stream, allow_pickle=False)
      names = {*_CANARIES, *_AVERAGE, _ACCURACY, _SELECTED}.intersection(
        archive.files
      )
      return {name: archive[name] for name in names}
  except OSError as error:
    reason = error.strerror or type(error).__name__
    raise UserError(f"{path}: {reason}: an .npz file needed") from error
  # Damaged bytes raise nearly anything: the readers of zip archives, of array
  # headers and of pickles (refused) each have their own exceptions.
  except Exception as error:
    raise UserError(
      f"{path}: damaged, or not an .npz archive of plain arrays "
      f"({type(error).__name__}): a file written by numpy.savez needed"
    ) from error


def _checked(arrays: Mapping[str, np.ndarray], path) -> PredictionFile:
  """The arrays in the dtypes of the design, or a `UserError`."""
  try:
    canaries = Predictions(*validate.population(arrays, _CANARIES))
    average = accuracy = selected = None
    if not arrays.keys().isdisjoint(_AVERAGE):
      average = Predictions(*validate.population(arrays, _AVERAGE))
      validate.same_models(average.logits, _AVERAGE[0], canaries.logits)
    if _ACCURACY in arrays:
      models = canaries.logits.shape[1]
      accuracy = validate.test_accuracy(arrays[_ACCURACY], models)
    if _SELECTED in arrays:
      selected = validate.selected(arrays[_SELECTED], canaries.membership)
  except ValueError as error:
    raise UserError(f"{path}: {error}") from error
  return PredictionFile(canaries, average, accuracy, selected)
