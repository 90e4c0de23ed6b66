"""What the shadow models learn from: a shared pool, and rows for each model."""

from typing import NamedTuple

import numpy as np


class TrainingSet(NamedTuple):
  """The result of a paradigm's `synthesize`, the input of its `learn`.

  A paradigm that gives every model images of its own puts them all into the
  pool, and each model's rows are its own part.
  """

  images: np.ndarray  # u8[N,H,W,C]
  labels: np.ndarray  # i32[N]
  members: np.ndarray  # i32[M,n], the rows that model m learns from
