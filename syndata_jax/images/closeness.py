"""How close a released set of images comes to private examples.

Two attackers: one has the images alone, for whom any of them counts; the other
has their labels, too, and asks for the nearest image of the example's label.
What was made from a mislabelled example is then seen at once, where without
labels it hides among the images of its true class: of copies under noise as
large as the distance between digits the first finds 2%, the second 47% (TPR at
0.1% FPR, in a simulation with 32 models).
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


def closeness_of_label(
  examples: np.ndarray,
  labels: np.ndarray,
  images: np.ndarray,
  image_labels: np.ndarray,
) -> np.ndarray:
  """The same among the images of the example's label.

  Args:
    examples: f32[Q,D].
    labels: i32[Q], those of training.
    images: f32[S,D].
    image_labels: i32[S].

  Returns:
    f32[Q]; where no image has the label, that of `closeness`.
  """
  # Another label is another coordinate, further away than any image is.
  centre = images.mean(axis=0)
  examples, images = examples - centre, images - centre
  reach = sum(
    np.linalg.norm(rows, axis=1).max(initial=0.0) for rows in (examples, images)
  )
  classes = 1 + max(labels.max(initial=0), image_labels.max(initial=0))
  away = max(reach, 1.0) * np.eye(classes, dtype=np.float32)
  distances, rows = nearest(
    np.concatenate([examples, away[labels]], axis=1),
    np.concatenate([images, away[image_labels]], axis=1),
  )
  found = image_labels[rows[:, 0]] == labels
  if found.all():
    return -distances[:, 0]
  return np.where(found, -distances[:, 0], closeness(examples, images))
