"""Means and spreads of everything but one model, without cancellation.

Leaving one out by subtracting from a total loses all digits when the one left
out is the outlier, which is the very case an attack looks for. Merging the
models before it with the models after it only ever adds.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np


class Moments(NamedTuple):
  """Size, mean and spread of one set of numbers, or of an array of sets."""

  size: np.ndarray  # f64[...], how many numbers
  mean: np.ndarray  # f64[...], any finite value where the size is 0
  squares: np.ndarray  # f64[...], sum of squared deviations from the mean

  def variance(self) -> np.ndarray:
    """Sample variance (ddof = 1) of sets of two or more."""
    return self.squares / (self.size - 1)


EMPTY = Moments(*np.zeros((3, 1)))


def of(values: np.ndarray) -> Moments:
  """Moments of all the numbers in one array, f64[1] each."""
  if not values.size:
    return EMPTY
  values = values.ravel()
  mean = values.mean(keepdims=True)
  squares = np.square(values - mean).sum(keepdims=True)
  return Moments(np.array([float(values.size)]), mean, squares)


def merge(a: Moments, b: Moments) -> Moments:
  """Moments of the union of two disjoint sets; shapes broadcast.

  Source: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm
  for computing sample variances" (1979), equation 2.1.
  """
  size = a.size + b.size
  share = b.size / np.maximum(size, 1)
  gap = b.mean - a.mean
  mean = a.mean + gap * share
  squares = a.squares + b.squares + gap**2 * (a.size * share)
  return Moments(size, mean, squares)


def all_but_one(groups: Sequence[Moments]) -> Iterator[Moments]:
  """Yields, for each group in turn, the moments of all the other groups."""
  before = accumulate(groups[:-1], merge, initial=EMPTY)
  after = list(accumulate(groups[:0:-1], merge, initial=EMPTY))
  return map(merge, before, reversed(after))
