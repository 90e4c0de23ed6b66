"""What the shadow models learn from: a shared pool, and rows for each model."""

from typing import NamedTuple

import numpy as np


class Whitening(NamedTuple):
  """A linear map of pixels, one for each model: (x - mean) @ matrix."""

  mean: np.ndarray  # f32[M,D], D = H*W*C
  matrix: np.ndarray  # f32[M,D,D], symmetric


class TrainingSet(NamedTuple):
  """The result of a paradigm's `synthesize`, the input of its `learn`.

  A paradigm that gives every model images of its own puts them all into the
  pool, and each model's rows are its own part.
  """

  images: np.ndarray  # u8[N,H,W,C], or f32 as the network reads them
  labels: np.ndarray  # i32[N], or f32[N,K], logits of soft labels
  members: np.ndarray  # i32[M,n], the rows that model m learns from
  # Released with the images: the peak learning rate f32[M] that replaces the
  # recipe's, and the map that queries must go through.
  learning_rate: np.ndarray | None = None
  whitening: Whitening | None = None
  # i32[M,k], rows of the private pool that model m's set was made from: those
  # that a coreset keeps, those that a distillation begins with.
  chosen: np.ndarray | None = None
