"""Which private rows stand behind the images of a model."""

import jax
import numpy as np

from syndata_jax import keys
from syndata_jax.data.training_set import Private
from syndata_jax.errors import UserError


def count(private: Private, images_per_class: int) -> int:
  """S, images of one model; see `draw`."""
  if images_per_class:
    return images_per_class * private.num_classes
  return private.members.shape[1]


def check(private: Private, images_per_class: int) -> None:
  """Refuses a class of which images are wanted that a model has no member of.

  Raises:
    UserError: which class, of which model.
  """
  if not images_per_class:
    return
  for model, members in enumerate(private.members):
    counts = np.bincount(private.labels[members], minlength=private.num_classes)
    if not counts.all():
      raise UserError(
        f"images_per_class={images_per_class}: class {counts.argmin()} has no"
        f" members in model {model}: must have one, or images_per_class be 0,"
        " for one image of each member"
      )


def draw(key: jax.Array, private: Private, images_per_class: int) -> np.ndarray:
  """The private row behind every image, i32[M,S].

  It gives an image its label, a canary's wrong one among them, and in
  image-to-image its beginning. The rows of a class, which stand together, are
  drawn without replacement, and again in the same order where it has fewer.

  Args:
    key: root of the draws; each model follows its own members alone.
    private: of all models.
    images_per_class: of each class; 0 for each member once, in their order.
  """
  if not images_per_class:
    return private.members
  models = len(private.members)
  classes = range(private.num_classes)
  rows = []
  for of_model, members in zip(
    keys.model_keys(keys.stream(key, "origins"), models),
    private.members,
    strict=True,
  ):
    random, labels = keys.host(of_model), private.labels[members]
    of_class = [random.permutation(members[labels == k]) for k in classes]
    rows.append(
      np.concatenate([np.resize(r, images_per_class) for r in of_class])
    )
  return np.stack(rows)
