"""How close a released set of images comes to private examples.

Any image of the set counts, whatever its label: what gives a person away is the
picture, and a mislabelled example that was copied under its true class is given
away as well. Nor does every set hold images of every label.
"""

import numpy as np

from syndata_jax.images.neighbours import nearest


def closeness(examples: np.ndarray, images: np.ndarray) -> np.ndarray:
  """Minus the distance of each example to the nearest image of one set.

  Args:
    examples: f32[Q,D], audited examples in some space.
    images: f32[S,D], the set in the same space.

  Returns:
    f32[Q], 0 of a copy.
  """
  distances, _ = nearest(examples, images)
  return -distances[:, 0]
