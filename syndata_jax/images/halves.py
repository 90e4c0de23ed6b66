"""The public images in two parts: one for a feature space, one to compare."""

from typing import NamedTuple

import numpy as np

from syndata_jax.data import Dataset


class Half(NamedTuple):
  """Test images, which no shadow model learns from."""

  images: np.ndarray  # u8[n,H,W,C]
  labels: np.ndarray  # i32[n]


class Halves(NamedTuple):
  """The test images of a data set, each in one of two parts.

  Attributes:
    space: what a feature space is trained on.
    held_out: real images that neither a model nor the space has seen, what
      synthetic images are compared with.
  """

  space: Half
  held_out: Half


def halves(dataset: Dataset) -> Halves:
  """The first half of each class's test images, and the rest.

  Of an odd number the first part has one more. By class, since the test images
  of a person's own data may be sorted by it.
  """
  labels = dataset.test_labels
  first = np.zeros(len(labels), bool)
  for label in np.unique(labels):
    rows = np.flatnonzero(labels == label)
    first[rows[: -(-len(rows) // 2)]] = True
  return Halves(
    *(Half(dataset.test_images[part], labels[part]) for part in (first, ~first))
  )
