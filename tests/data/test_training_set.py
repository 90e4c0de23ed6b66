"""What may enter training, and what is refused in one line."""

import numpy as np
import pytest

from syndata_jax.data.training_set import (
  Private,
  TrainingSet,
  enter,
  named_leaves,
  private_set,
)
from syndata_jax.errors import UserError

M, N, S = 3, 10, 4
IMAGES = np.arange(N * 4, dtype=np.uint8).reshape(N, 2, 2, 1)
LABELS = (np.arange(N) % 2).astype(np.int32)
MEMBERS = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8]], np.int32)
PRIVATE = Private(IMAGES, LABELS, MEMBERS, 2)

OWN = TrainingSet(
  np.zeros((M, S, 2, 2, 1), np.float32), np.zeros((M, S), np.int32), None
)
POOL = TrainingSet(
  np.zeros((5, 2, 2, 1), np.uint8),
  np.zeros((5, 2), np.float32),
  np.zeros((M, 2), np.int32),
)


def test_the_private_pool_is_filled_in():
  entered = private_set(PRIVATE)
  assert entered.images is IMAGES and entered.labels is LABELS
  assert entered.size == 3 and entered.num_models == M
  images, labels = entered.of_model(1)
  np.testing.assert_array_equal(images, IMAGES[3:6])
  np.testing.assert_array_equal(labels, LABELS[3:6])


def test_all_three_forms_enter_as_they_are():
  for given, size in ((OWN, S), (POOL, 2)):
    entered = enter(given, PRIVATE)
    assert entered.size == size and entered.num_models == M
    assert entered.image_shape == (2, 2, 1)
    assert entered.images is given.images and entered.labels is given.labels


def test_new_images_may_come_with_private_rows_and_labels_with_images():
  """New pixels for every private row, and new labels for the old pixels."""
  noise = np.zeros((N, 2, 2, 1), np.float32)
  assert enter(TrainingSet(noise, None, MEMBERS), PRIVATE).labels is LABELS
  soft = np.zeros((N, 2), np.float32)
  assert enter(TrainingSet(None, soft, MEMBERS), PRIVATE).images is IMAGES


NAN = np.full((M, S, 2, 2, 1), np.nan, np.float32)
FOREIGN = MEMBERS.copy()
FOREIGN[1, 2] = 9


@pytest.mark.parametrize(
  ("given", "message"),
  [
    (OWN._replace(images=[[1]]), "images: list: a NumPy array needed"),
    (OWN._replace(images=OWN.images.astype(float)), "type float64: uint8 or"),
    (OWN._replace(images=NAN), "images hold a value that is not finite"),
    (OWN._replace(images=OWN.images[:2]), r"shape \[2, 4, 2, 2, 1\]: .* 3 mod"),
    (OWN._replace(images=OWN.images[..., :1, :]), r"images of \[2, 2, 1\] nee"),
    (OWN._replace(images=OWN.images[:, :0]), r"images have the shape \[3, 0"),
    (OWN._replace(images=None), "members=None: rows of the private pool"),
    (
      OWN._replace(labels=OWN.labels[:, :3]),
      r"\[3, 3\]: \[3, 4\] needed",
    ),
    (OWN._replace(labels=OWN.labels + 2), "labels from 2 to 2: 0 to 1 allowed"),
    (OWN._replace(labels=OWN.labels.astype(np.int64)), "labels of type int64"),
    (POOL._replace(labels=POOL.labels[:, :1]), r"\[5, 1\]: \[5, 2\] needed"),
    (POOL._replace(members=POOL.members + 5), "rows from 5 to 5: 0 to 4"),
    (POOL._replace(members=POOL.members[:2]), r"members have the shape \[2, 2"),
    (
      TrainingSet(None, None, FOREIGN),
      "members of model 1 hold row 9: rows of its own members allowed alone",
    ),
    (OWN._replace(chosen=FOREIGN), "chosen of model 1 hold row 9"),
    (OWN._replace(chosen=MEMBERS - 1), "chosen hold rows from -1 to 7"),
    (
      OWN._replace(released={"rate": np.zeros(2, np.float32)}),
      r"released rate has the shape \[2\]: a leading axis of 3 models",
    ),
    (
      OWN._replace(released={"a": {"b": np.full(3, np.inf, np.float32)}}),
      "released a.b hold a value that is not finite",
    ),
    (OWN._replace(released={"a.b": np.zeros(3)}), "has the key 'a.b'"),
  ],
)
def test_what_does_not_fit_is_refused_in_one_line(given, message):
  with pytest.raises(UserError, match=f"^training set: .*{message}") as error:
    enter(given, PRIVATE)
  assert "\n" not in str(error.value)


def test_leaves_have_paths():
  tree = {"b": np.zeros(1), "a": {"c": np.ones(1), "d": {"e": np.ones(2)}}}
  assert [name for name, _ in named_leaves(tree)] == ["a.c", "a.d.e", "b"]
