"""What an evolution needs of a private data set, of whatever kind."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from syndata_jax.evolution.api import Api
from syndata_jax.evolution.embedding import Embedding

# The samples as they are rendered, and their labels i32[S], to a folder;
# returns the file.
Write = Callable[[pathlib.Path, Any, np.ndarray], pathlib.Path]


def _nothing() -> tuple[str, ...]:
  return ()


class Task(NamedTuple):
  """Private records with everything that belongs to their kind.

  Attributes:
    records: as `api.render` gives samples, a leading axis P.
    labels: i32[P], of the records.
    classes: names of the K classes, declared and not read from the records.
    api: the generator.
    embedding: of records and samples.
    write: leaves samples in the folder of a release.
    summary: lines for a person once it is over, such as what it has cost.
  """

  records: Any
  labels: np.ndarray
  classes: tuple[str, ...]
  api: Api
  embedding: Embedding
  write: Write
  summary: Callable[[], tuple[str, ...]] = _nothing

  @property
  def num_classes(self) -> int:
    """K."""
    return len(self.classes)
