"""Classifiers of synthetic images: what they learn from, and which is taken."""

from operator import itemgetter

import jax
import numpy as np
import pytest
from flax import linen as nn
from small import engine

from syndata_jax import data
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import (
  Recipe,
  Workspace,
  make_layout,
  repeat,
  training,
)
from syndata_jax.images import classifier


@pytest.fixture(scope="module")
def digits():
  return data.load("digits")


@pytest.fixture(scope="module")
def brief():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(classifier, "_EPOCHS", 6)
    patch.setattr(classifier, "_UPDATES", 1)
    small = {"width": 8, "depth": 1, "norm": "batch"}
    patch.setattr(classifier, "_NETWORK", small)
    yield


@pytest.mark.slow
def test_it_learns_from_what_it_is_given_alone(digits, brief, tmp_path):
  """One model has true labels, the other shuffled ones."""
  rng = np.random.default_rng(0)
  images = np.stack([digits.train_images[:600]] * 2)
  labels = np.stack([digits.train_labels[:600]] * 2)
  labels[1] = rng.permutation(labels[1])
  judged = classifier.judge(
    digits,
    images,
    labels,
    Workspace(tmp_path),
    make_layout(2),
    jax.random.key(0),
  )
  assert judged.accuracy.shape == judged.last.shape == (2,)
  assert judged.accuracy[0] > 0.8
  assert judged.accuracy[1] < 0.3
  assert judged.held_out == 60 and judged.num_epochs == 6
  assert ((judged.epoch >= 1) & (judged.epoch <= 6)).all()


class Linear(nn.Module):
  """Compiled in no time."""

  @nn.compact
  def __call__(self, images, train=False):
    return nn.Dense(3)(images.reshape(len(images), -1))


def sets(blank: int = 0) -> TrainingSet:
  """Noise of two models, so that accuracy goes up and down."""
  rng = np.random.default_rng(1)
  labels = rng.integers(0, 3, (2, 23)).astype(np.int32)
  images = rng.normal(size=(2, 23, 2, 2, 1))
  images[:, 23 - blank :] = 0
  return TrainingSet(images.astype(np.float32), labels, None)


def learnt(training_set, held_out, epochs):
  """The last states of two models, what was said, and their tools."""
  tools = engine(2)._replace(
    model=Linear(), recipe=Recipe(epochs, 5, 0.3, schedule="constant")
  )
  learner = classifier.learner(tools, held_out, training_set)
  rounds, history = training(learner, jax.random.key(3), training_set), []
  return repeat(tools.layout, rounds, None, history.append), history, tools


def test_the_best_epoch_is_kept():
  training_set = sets()
  best, history, tools = learnt(training_set, held_out=8, epochs=7)
  scores = np.stack([done.metrics["held_out_accuracy"] for done in history])
  for model, curve in enumerate(scores.T):
    assert best.score[model] == curve.max()
    assert best.epoch[model] == np.flatnonzero(curve == curve.max())[-1] + 1
    network = {
      name: jax.tree.map(itemgetter(model), part)
      for name, part in best.variables.items()
    }
    logits = tools.model.apply(network, training_set.images[model, -8:], False)
    share = (logits.argmax(-1) == training_set.labels[model, -8:]).mean()
    assert share == pytest.approx(float(curve.max()))
  assert (best.epoch < 7).any()  # not simply the last


@pytest.mark.slow
def test_held_out_images_teach_nothing():
  best, *_ = learnt(sets(), held_out=8, epochs=2)
  other, *_ = learnt(sets(blank=8), held_out=8, epochs=2)
  jax.tree.map(
    np.testing.assert_array_equal, best.state.params, other.state.params
  )


def test_without_held_out_images_it_is_the_last_epoch():
  best, *_ = learnt(sets(), held_out=0, epochs=3)
  np.testing.assert_array_equal(best.epoch, [3, 3])
  jax.tree.map(
    np.testing.assert_array_equal, best.variables["params"], best.state.params
  )
