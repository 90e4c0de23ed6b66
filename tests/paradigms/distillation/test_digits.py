"""Every method of distillation on digits, beside random ones.

Two models, each on 1,337 scans of which 100 are mislabelled, and ten images of
a class.
"""

import pathlib
import tempfile

import jax
import jax.numpy as jnp
import pytest

from syndata_jax import data, models, paradigms
from syndata_jax.data.training_set import enter
from syndata_jax.ensemble import (
  Engine,
  Recipe,
  Workspace,
  make_layout,
  predict,
)
from syndata_jax.paradigms.distillation import METHODS, Options

KEY = jax.random.key(3)
NETWORK = {"width": 16, "depth": 2}
GRADIENTS = {
  "iterations": 10,
  "image_learning_rate": 0.3,
  "outer_steps": 5,
  "inner_epochs": 5,
}
TRAJECTORIES = {
  "iterations": 60,
  "image_learning_rate": 20.0,
  "num_experts": 1,
  "expert_epochs": 24,
  "expert_learning_rate": 0.1,
  "inner_steps": 8,
  "target_epochs": 3,
  "max_start": 12,
  "learning_rate_start": 0.07,
}
SETTINGS = {
  "dm": {"iterations": 100, "image_learning_rate": 10.0},
  "dc": GRADIENTS,
  "dsa": GRADIENTS,
  "mtt": TRAJECTORIES,
  "tesla": TRAJECTORIES,
  "datm": TRAJECTORIES | {"label_learning_rate": 2.0, "sharpness": 0.01},
}


class Digits:
  """The scans, and how well networks learn from sets made of them."""

  def __init__(self):
    source = data.load("digits")
    split = data.make_split(source.train_labels, 200, 2, 10, "mislabelled", 0)
    self.source = source
    self.private = paradigms.Private(
      source.train_images, split.labels, split.members, 10, split.canary_index
    )
    self.engine = Engine(
      model=models.create("convnet", 10, **NETWORK),
      recipe=Recipe(
        num_epochs=60,
        batch_size=32,
        learning_rate=0.05,
        schedule="cosine",
      ),
      layout=make_layout(2, devices=jax.devices()[:2]),
      mean=source.mean,
      std=source.std,
      dtype=jnp.dtype("float32"),
    )

  def accuracy(self, method, **fields):
    """Of both networks, on scans that nobody trained on."""
    options = Options(
      method=method,
      distill_model_options=NETWORK,
      augmentation="color_crop_scale",
      real_batch=64,
      **fields,
    )
    paradigm = paradigms.create(
      "distillation", self.engine, options, self.private
    )
    with tempfile.TemporaryDirectory() as folder:
      workspace = Workspace(pathlib.Path(folder))
      training_set = enter(
        paradigm.synthesize(KEY, self.private, workspace), self.private
      )
      state = workspace.train(
        "ensemble", self.engine.layout, paradigm.learner, KEY, training_set
      )
    variables = paradigm.learner(training_set).release(state)
    logits = predict(paradigm.queried, variables, self.source.test_images)
    return (logits.argmax(-1) == self.source.test_labels).mean(axis=1)


@pytest.fixture(scope="module")
def digits():
  return Digits()


@pytest.fixture(scope="module")
def random(digits):
  """Ten private images of each class, as they are."""
  return digits.accuracy("dm", iterations=1, image_learning_rate=1e-12)


# On small data all are tested by default.
@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_distilled_digits_beat_random_ones(method, digits, random):
  distilled = digits.accuracy(method, **SETTINGS[method])
  assert (distilled > random).all(), (distilled, random)
  assert distilled.mean() > random.mean() + 0.02, (distilled, random)
