"""The embedded default: handwritten digits that come with scikit-learn."""

import numpy as np

from syndata_jax import keys
from syndata_jax.data.dataset import Arrays

_NUM_TEST = 360


def read() -> Arrays:
  """1,797 real scans as u8[1437 and 360, 8, 8, 1].

  The split is a fixed permutation: the file is ordered by writer, and its tail
  alone would be a test of other hands. Source: Alpaydin and Kaynak, "Optical
  Recognition of Handwritten Digits", UCI repository (1998), test part.
  """
  from sklearn.datasets import load_digits

  bunch = load_digits()
  # Sixteen is white: the scans count the dark cells of 4x4 blocks.
  images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
  labels = bunch.target.astype(np.int32)
  order = keys.generator(0, "digits.split").permutation(len(labels))
  train, test = order[_NUM_TEST:], order[:_NUM_TEST]
  return Arrays(images[train], labels[train], images[test], labels[test])
