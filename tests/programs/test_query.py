"""What is asked of the networks, and where the answers go."""

import types

import numpy as np
import pytest

from syndata_jax import data
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.paradigms import Private
from syndata_jax.programs.plan import Plan
from syndata_jax.programs.query import query
from syndata_jax.programs.settings import Settings

MODELS, CLASSES = 4, 5
RANDOM = np.random.default_rng(0)


def plan_of(kind, num_test=30):
  dataset = data.Dataset(
    "toy",
    RANDOM.integers(0, 256, (60, 8, 8, 1), np.uint8),
    np.arange(60, dtype=np.int32) % CLASSES,
    RANDOM.integers(0, 256, (num_test, 8, 8, 1), np.uint8),
    np.arange(num_test, dtype=np.int32) % CLASSES,
    num_classes=CLASSES,
    mean=(0.5,),
    std=(0.5,),
    flip=False,
  )
  split = data.make_split(dataset.train_labels, 10, MODELS, CLASSES, kind, 0)
  split = data.add_dummies(split, dataset.test_labels, CLASSES, kind, 0)
  images = data.plant(dataset.train_images, split, kind, 0)
  private = Private(images, split.labels, split.members, CLASSES)
  recipe = types.SimpleNamespace(shift=1, flip=False)
  paradigm = types.SimpleNamespace(queried=types.SimpleNamespace(recipe=recipe))
  dummies = data.dummy_images(dataset.test_images, split, kind, 0)
  return Plan(Settings(), dataset, split, private, paradigm, dummies)


def ask(images):
  """The sum of the pixels in every class of every model: which image it is."""
  total = images.astype(np.float32).sum((1, 2, 3))
  return np.broadcast_to(
    total[None, :, None], (MODELS, len(images), CLASSES)
  ).copy()


@pytest.mark.parametrize("kind", ["mislabelled", "blank"])
def test_dummies_are_asked_about_as_canaries_are(kind):
  plan = plan_of(kind)
  accuracy = []

  def counting(images):
    if len(images) == len(plan.dataset.test_images):
      accuracy.append(images)
    return ask(images)

  answers = query(plan, counting, TrainingSet(None, None, plan.split.members))
  for population, images in (
    (answers.canaries, plan.private.images[plan.split.canary_index]),
    (answers.dummies, plan.dummies),
  ):
    # Nine views, shifted by a pixel: the image itself, and less of it.
    assert population.logits.shape == (10, MODELS, 9, CLASSES)
    total = images.astype(np.float32).sum((1, 2, 3))
    np.testing.assert_array_equal(population.logits[:, 2, 0, 3], total)
    below = images[:, 1:].astype(np.float32).sum((1, 2, 3))
    views = population.logits[:, 0, :, 0]
    assert ((views == below[:, None]).sum(1) >= 1).all()
  np.testing.assert_array_equal(
    answers.dummies.membership, plan.split.dummy_membership
  )
  np.testing.assert_array_equal(answers.dummies.labels, plan.split.dummy_labels)
  # Utility is that on the test images as they are, none of them planted.
  (asked,) = accuracy
  np.testing.assert_array_equal(asked, plan.dataset.test_images)
  right = (plan.dataset.test_labels == 0).mean()
  np.testing.assert_allclose(answers.test_accuracy, right)


def test_without_test_images_to_spare_there_are_none():
  plan = plan_of("mislabelled", num_test=1)
  answers = query(plan, ask, TrainingSet(None, None, plan.split.members))
  assert answers.dummies is None
  assert answers.canaries.logits.shape == (10, MODELS, 9, CLASSES)
