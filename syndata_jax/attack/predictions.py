"""What an attack is given: the predictions of shadow models, in one file.

`predictions.npz` is checked whole before anything is computed: it may be of
anyone who trained shadow models elsewhere. What is in another form than its
table says, such as probabilities, is brought to it by `intake`, which a file
that comes from outside must pass. Q examples, M models, A views (augmented
queries), K classes.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from syndata_jax import files
from syndata_jax.attack import checks
from syndata_jax.attack.gaussian_run import (
  GradientCanaries,
  gradient_canaries,
)
from syndata_jax.errors import UserError, prefixed


class Predictions(NamedTuple):
  """What M models say about Q examples, each a member of some models."""

  logits: np.ndarray  # f32[Q, M, A, K]; view 0 is the untouched image
  labels: np.ndarray  # i32[Q], those of training: wrong if mislabelled
  membership: np.ndarray  # bool[Q, M], whether model m trained on example q


class OtherNetwork(NamedTuple):
  """What another network of each model says, such as a teacher."""

  logits: np.ndarray  # f32[Q, M, A, K] of the canaries
  test_accuracy: np.ndarray | None = None  # f32[M], fractions


class Closeness(NamedTuple):
  """How close each model's released images come to the audited examples.

  High where close, such as minus the distance to the nearest image. No model
  is asked for it: it is what the images alone give away.
  """

  canaries: np.ndarray  # f32[Q, M]
  average: np.ndarray | None = None  # f32[V, M]
  dummies: np.ndarray | None = None  # f32[D, M]


class PredictionFile(NamedTuple):
  """The content of one `predictions.npz`; all its parts share the models."""

  canaries: Predictions
  average: Predictions | None = None  # ordinary examples, correctly labelled
  test_accuracy: np.ndarray | None = None  # f32[M], fractions
  # bool[Q, M], the canaries that each model learned from, where it left out
  # some of those that it owns.
  selected: np.ndarray | None = None
  # Networks that the report sets beside the released ones, by name.
  others: Mapping[str, OtherNetwork] = MappingProxyType({})
  # The null: made as canaries are, and dealt to models, but none trained on it.
  dummies: Predictions | None = None
  # The one model that is judged; the others serve as references alone. None
  # where each is judged by all the others.
  target: int | None = None
  # What an auditor saw who watched DP-SGD step by step.
  white_box: GradientCanaries | None = None
  # By the name of the space in which distances were taken, such as "pixels".
  # One that is called like another network is that of its logits.
  closeness: Mapping[str, Closeness] = MappingProxyType({})


_CANARIES = Predictions._fields
_AVERAGE = tuple(f"average_{name}" for name in _CANARIES)
_DUMMIES = tuple(f"dummy_{name}" for name in _CANARIES)
_ACCURACY = "test_accuracy"
_SELECTED = "selected"
# The array that names the model to judge.
TARGET = "target"
_WHITE_BOX = tuple(f"white_box_{name}" for name in GradientCanaries._fields)
_OTHER = re.compile(r"other_(.*)_(logits|test_accuracy)", re.DOTALL)
# What stands before the name of a space, by the field of `Closeness`.
_CLOSENESS = {
  "canaries": "closeness_",
  "average": "average_closeness_",
  "dummies": "dummy_closeness_",
}


def load_predictions(path: files.Path) -> PredictionFile:
  """Reads and checks a file of predictions; nothing in it is unpickled.

  Args:
    path: an `.npz` file with the arrays

      | name | type | allowed |
      |---|---|---|
      | `logits` | float[Q, M, A, K] | finite as f32; [Q, M, K] is one view |
      | `labels` | integer[Q] | 0..K-1, the label of training |
      | `membership` | bool[Q, M], or 0 and 1 | at least 2 of each in a row |
      | `test_accuracy` | float[M], optional | fractions, 0..1 |
      | `selected` | bool[Q, M], optional | members only |
      | `white_box_scores` | float[k, M], optional | finite |
      | `white_box_included` | bool[k, M], optional | fair coins |
      | `other_NAME_logits` | float[Q, M, A, K], optional | finite as f32 |
      | `other_NAME_test_accuracy` | float[M], optional | fractions, 0..1 |
      | `closeness_NAME` | float[Q, M], optional | finite as f32 |

      and, optionally, the first three again with the prefix `average_`, and
      with `dummy_`, for the same models and classes; and `target`, an integer
      of 0..M-1, the model to judge. Rows of membership need not be balanced.
      With a target, at least 2 of the others are non-members in each row; of
      the target, as of a single model, one member and one non-member are
      enough.
      `NAME` is any of a-z, 0-9 and _, once for each other network of the
      models, and once for each space in which the images that a model released
      were compared with the examples (high where close); `average_` and
      `dummy_` examples then have `average_closeness_NAME` and
      `dummy_closeness_NAME`. Other arrays are ignored.

  Returns:
    The arrays as f32, i32 and bool, logits always with the axis of views.

  Raises:
    UserError: the file cannot be read, or an array in it breaks the table.
  """
  arrays = files.read_arrays(path, is_known)
  with prefixed(str(path)):
    return checked(arrays)


def save_predictions(path: files.Path, file: PredictionFile) -> None:
  """Writes a file that `load_predictions` reads back equal.

  The file is there in full or not at all, and equal predictions give equal
  bytes.

  Raises:
    UserError: predictions that `load_predictions` would refuse, such as the
      logits of a model that diverged.
  """
  with prefixed(str(path)):
    arrays = _named(check_predictions(file))
  with files.write_stream(path) as stream:
    np.savez(stream, **arrays)


def check_predictions(file: PredictionFile) -> PredictionFile:
  """The same predictions as `load_predictions` would read them from a file.

  Args:
    file: of arrays as in its table, or of what NumPy makes such arrays of.

  Raises:
    UserError: an array breaks the table.
  """
  return checked(_named(file))


def _named(file: PredictionFile) -> dict[str, Any]:
  arrays = dict(zip(_CANARIES, file.canaries, strict=True))
  if file.average is not None:
    arrays |= zip(_AVERAGE, file.average, strict=True)
  if file.dummies is not None:
    arrays |= zip(_DUMMIES, file.dummies, strict=True)
  if file.target is not None:
    arrays[TARGET] = np.asarray(file.target)
  if file.white_box is not None:
    arrays |= zip(_WHITE_BOX, file.white_box, strict=True)
  if file.test_accuracy is not None:
    arrays[_ACCURACY] = file.test_accuracy
  if file.selected is not None:
    arrays[_SELECTED] = file.selected
  for name, (logits, accuracy) in file.others.items():
    arrays[f"other_{name}_logits"] = logits
    if accuracy is not None:
      arrays[f"other_{name}_test_accuracy"] = accuracy
  for name, closeness in file.closeness.items():
    for field, values in closeness._asdict().items():
      if values is not None:
        arrays[_CLOSENESS[field] + name] = values
  return arrays


def is_known(name: str) -> bool:
  """Whether an array of this name has a meaning here."""
  known = (*_CANARIES, *_AVERAGE, *_DUMMIES, _ACCURACY, _SELECTED, TARGET)
  known += _WHITE_BOX
  return (
    name in known
    or _OTHER.fullmatch(name) is not None
    or name.startswith(tuple(_CLOSENESS.values()))
  )


def checked(arrays: Mapping[str, np.ndarray]) -> PredictionFile:
  """The arrays of a file in the dtypes of the design.

  Raises:
    UserError: an array breaks the table of `load_predictions`.
  """
  try:
    target = None
    if TARGET in arrays:
      target = checks.target(arrays[TARGET])
    canaries = Predictions(*checks.population(arrays, _CANARIES, target))
    average = _beside(canaries, arrays, _AVERAGE, target)
    dummies = _beside(canaries, arrays, _DUMMIES, target)
    accuracy = selected = None
    if _ACCURACY in arrays:
      models = canaries.logits.shape[1]
      accuracy = checks.test_accuracy(arrays[_ACCURACY], _ACCURACY, models)
    if _SELECTED in arrays:
      selected = checks.selected(arrays[_SELECTED], canaries.membership)
    white_box = None
    if not arrays.keys().isdisjoint(_WHITE_BOX):
      models = canaries.logits.shape[1]
      scores, included = map(arrays.get, _WHITE_BOX)
      white_box = gradient_canaries(scores, included, models)
    others = _others(arrays, canaries.logits)
    closeness = _closeness(arrays, canaries, average, dummies)
  except ValueError as error:
    raise UserError(str(error)) from error
  return PredictionFile(
    canaries,
    average,
    accuracy,
    selected,
    others,
    dummies,
    target,
    white_box,
    closeness,
  )


def _beside(
  canaries: Predictions,
  arrays: Mapping[str, np.ndarray],
  names: Sequence[str],
  target: int | None,
) -> Predictions | None:
  """Another population of the same models, if there is any array of it.

  Args:
    canaries: of these models.
    arrays: by name.
    names: those of the population.
    target: the model that is judged, or None for all.
  """
  if arrays.keys().isdisjoint(names):
    return None
  population = Predictions(*checks.population(arrays, names, target))
  checks.same_models(population.logits, names[0], canaries.logits)
  return population


def _others(
  arrays: Mapping[str, np.ndarray], logits: np.ndarray
) -> dict[str, OtherNetwork]:
  """The other networks of the models whose own logits f32[Q, M, A, K] are."""
  matches = [match for array in arrays if (match := _OTHER.fullmatch(array))]
  networks = {}
  # A dict and not a set: it keeps the order of the file.
  for name in {match[1]: None for match in matches}:
    if not re.fullmatch("[a-z0-9_]+", name):
      raise ValueError(f"other network {name!r}: a-z, 0-9 and _ allowed")
    first, second = f"other_{name}_logits", f"other_{name}_test_accuracy"
    if first not in arrays:
      raise ValueError(f"{first} is missing: needed beside {second}")
    accuracy = None
    if second in arrays:
      accuracy = checks.test_accuracy(arrays[second], second, logits.shape[1])
    networks[name] = OtherNetwork(
      checks.other_logits(arrays[first], first, logits), accuracy
    )
  return networks


def _closeness(
  arrays: Mapping[str, np.ndarray],
  canaries: Predictions,
  average: Predictions | None,
  dummies: Predictions | None,
) -> dict[str, Closeness]:
  """How close released images come, by the name of the space.

  Args:
    arrays: by name.
    canaries: of these models.
    average: of the same models, or None.
    dummies: of the same models, or None.
  """
  populations = {"canaries": canaries, "average": average, "dummies": dummies}
  # A dict and not a set: it keeps the order of the file.
  names = {
    array.removeprefix(prefix): None
    for prefix in _CLOSENESS.values()
    for array in arrays
    if array.startswith(prefix)
  }
  spaces = {}
  for name in names:
    if not re.fullmatch("[a-z0-9_]+", name):
      raise ValueError(f"closeness in {name!r}: a-z, 0-9 and _ allowed")
    fields: dict[str, np.ndarray] = {}
    for field, population in populations.items():
      array = _CLOSENESS[field] + name
      if population is None and array in arrays:
        raise ValueError(f"{array}: needs the logits of its examples beside it")
      if population is not None:
        if array not in arrays:
          raise ValueError(
            f"{array} is missing: closeness of every population needed"
          )
        shape = population.membership.shape
        fields[field] = checks.closeness(arrays[array], array, shape)
    spaces[name] = Closeness(**fields)
  return spaces
