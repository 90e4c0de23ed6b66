"""Some samples of every population of an evolution, kept as it goes on."""

import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from syndata_jax import files
from syndata_jax.evolution.population import Population, taken
from syndata_jax.evolution.task import Task
from syndata_jax.programs.private_records import IMAGES
from syndata_jax.reporting.evolution import evolution_sheet

_FOLDER = "samples"
_SHEET = "samples.png"
_MOST = 20  # of a population


class Samples:
  """Keeps them in the folder of a run, one folder a population.

  Whatever was kept is found again by a run that is resumed.
  """

  def __init__(self, folder: pathlib.Path, task: Task) -> None:
    self._folder, self._task = folder, task
    self._render: Callable[[Any], Any] = task.api.render
    if task.api.traceable:
      self._render = jax.jit(task.api.render)

  def add(self, number: int, population: Population) -> None:
    """Keeps the first samples of each class.

    Args:
      number: of the iteration that the population follows, 0 for the start.
      population: the candidates.
    """
    labels = np.asarray(population.labels)
    rows = first_of_each(labels, self._task.num_classes)
    rendered = self._render(taken(population.samples, rows))
    path = self._folder / _FOLDER / f"{number:03}"
    path.mkdir(parents=True, exist_ok=True)
    self._task.write(path, rendered, labels[rows])

  def draw(self) -> None:
    """Makes one picture of images; tables and texts stay as they are."""
    folder = self._folder / _FOLDER
    parts = sorted(folder.glob(f"*/{IMAGES}"))
    if not parts:
      return
    shown = [files.read_arrays(part)["images"] for part in parts]
    names = [part.parent.name.lstrip("0") or "start" for part in parts]
    evolution_sheet(self._folder / _SHEET, shown, names)
    shutil.rmtree(folder)


def first_of_each(labels: np.ndarray, num_classes: int) -> np.ndarray:
  """Rows of the first samples of each class, twenty at most: i64[n].

  Args:
    labels: i32[S].
    num_classes: K.
  """
  each = max(1, _MOST // num_classes)
  parts = [np.flatnonzero(labels == k)[:each] for k in range(num_classes)]
  return np.concatenate(parts)[:_MOST]
