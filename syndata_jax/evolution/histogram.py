"""The vote: how near each candidate is to how many private records."""

from typing import Literal, NamedTuple

import jax
import numpy as np

Metric = Literal["l2", "cosine"]


class Records(NamedTuple):
  """Private records for voting within their classes.

  The shapes follow from P, K and B alone, never from how many records a class
  has: T is ceil(P / B) + K.
  """

  embeddings: jax.Array  # f32[N,D]
  rows: jax.Array  # i32[T,B], of one class each; -1 where there is none
  classes: jax.Array  # i32[T]


def group(
  embeddings: np.ndarray,
  labels: np.ndarray,
  num_classes: int,
  tile: int | None = None,
  members: np.ndarray | None = None,
) -> Records:
  """Records sorted into tiles of one class each.

  Args:
    embeddings: f32[N,D].
    labels: i32[N].
    num_classes: K.
    tile: B; None to choose it by P and K.
    members: rows of those who vote, i32[P]; all of them by default.
  """
  raise NotImplementedError


def votes(
  private: jax.Array,
  synthetic: jax.Array,
  k: int = 1,
  metric: Metric = "l2",
  weights: jax.Array | None = None,
) -> jax.Array:
  """The clean histogram f32[S]: private[P,D] vote for synthetic[S,D]."""
  raise NotImplementedError


def noisy_votes(
  key: jax.Array,
  records: Records,
  candidates: jax.Array,
  sizes: tuple[int, ...],
  stddev: jax.Array | float,
  k: int = 1,
  metric: Metric = "l2",
  weights: jax.Array | None = None,
  discrete: bool = False,
) -> jax.Array:
  """The noisy histogram f32[S]."""
  raise NotImplementedError
