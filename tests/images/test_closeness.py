"""Closeness against a loop over all pairs."""

import numpy as np

from syndata_jax.images.closeness import closeness, closeness_of_label


def _loop(examples, images, allowed):
  """Minus the distance to the nearest image that is allowed, pair by pair."""
  scores = []
  for example, row in zip(examples, allowed, strict=True):
    distances = [
      np.linalg.norm(example.astype(np.float64) - image)
      for image, chosen in zip(images, row, strict=True)
      if chosen
    ]
    scores.append(-min(distances))
  return np.array(scores)


def test_any_image_or_one_of_the_label():
  """A copy under another label is none; a label without images takes any."""
  random = np.random.default_rng(0)
  examples = random.uniform(0, 1, (12, 40)).astype(np.float32)
  images = random.uniform(0, 1, (30, 40)).astype(np.float32)
  labels = np.arange(12, dtype=np.int32) % 4
  image_labels = np.arange(30, dtype=np.int32) % 3
  images[4] = examples[4]  # image 4 is of class 1, example 4 of class 0
  images[6] = examples[0]  # both are of class 0
  allowed = labels[:, None] == image_labels
  absent = ~allowed.any(axis=1)
  assert absent.sum() == 3
  allowed[absent] = True

  got = closeness(examples, images)
  everything = np.ones_like(allowed)
  np.testing.assert_allclose(
    got, _loop(examples, images, everything), atol=1e-6
  )
  assert got[4] == 0 and got[0] == 0

  got = closeness_of_label(examples, labels, images, image_labels)
  np.testing.assert_allclose(got, _loop(examples, images, allowed), atol=1e-6)
  assert got[0] == 0 and got[4] < -1
