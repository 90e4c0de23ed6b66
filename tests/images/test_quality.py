"""Quality of images whose worth is known: real ones, noise, copies of one."""

import functools
import json

import numpy as np
import pytest
from variants import others_slow

from syndata_jax import data
from syndata_jax.data.training_set import Private, TrainingSet
from syndata_jax.ensemble import Engine, Recipe, Workspace, make_layout, sgd
from syndata_jax.images import PIXELS, classifier, quality, spaces
from syndata_jax.models import create
from syndata_jax.paradigms import Paradigm, private_data

_KINDS = ("real", "noise", "one")


@pytest.fixture(scope="module")
def record(tmp_path_factory):
  """Three models: unseen real images, noise, copies of one image."""
  digits = data.load("digits")
  rng = np.random.default_rng(0)
  members = rng.permuted(np.tile(np.arange(1400), (3, 1)), axis=1)[:, :400]
  private = Private(
    digits.train_images, digits.train_labels, members.astype(np.int32), 10
  )
  size = 150
  shape = (size, *digits.train_images.shape[1:])
  real = digits.train_images[:size] / 255
  images = np.stack([real, rng.random(shape), np.repeat(real[:1], size, 0)])
  labels = np.stack([digits.train_labels[:size]] * 3)
  normalised = (images - digits.mean) / digits.std
  training_set = TrainingSet(normalised.astype(np.float32), labels, None)
  engine = Engine(
    create("convnet", 10, width=4, depth=1),
    Recipe(num_epochs=1, batch_size=10),
    make_layout(3),
    digits.mean,
    digits.std,
    np.dtype("float32"),
  )
  paradigm = Paradigm(engine, private_data, functools.partial(sgd, engine))
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(classifier, "_UPDATES", 1)
    small = {"width": 8, "depth": 1, "norm": "batch"}
    patch.setattr(classifier, "_NETWORK", small)
    patch.setattr(spaces, "_NETWORK", small)
    return quality(
      paradigm,
      training_set,
      private,
      digits,
      Workspace(tmp_path_factory.mktemp("quality")),
      [PIXELS],
    )


def figure(record, space, name):
  models = record["spaces"][space]["synthetic"][name]["models"]
  return dict(zip(_KINDS, models, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("space", others_slow(["pixels", "features"]))
def test_real_images_are_best(record, space):
  distance = figure(record, space, "frechet_distance")
  assert distance["real"] < 0.5 * min(distance["noise"], distance["one"])
  precision = figure(record, space, "precision")
  assert precision["real"] > 0.6 and precision["noise"] < 0.2
  recall = figure(record, space, "recall")
  assert recall["real"] > 0.6 and recall["one"] < 0.1
  assert figure(record, space, "coverage")["one"] < 0.1


@pytest.mark.slow
def test_members_show_what_real_images_reach(record):
  members = record["spaces"]["features"]["members"]["frechet_distance"]
  distance = figure(record, "features", "frechet_distance")
  assert len(members["models"]) == 3
  assert 0 < members["mean"] < 0.3 * min(distance["noise"], distance["one"])
  assert members["mean"] == pytest.approx(np.mean(members["models"]))
  assert members["deviation"] == pytest.approx(
    np.std(members["models"], ddof=1)
  )


@pytest.mark.slow
def test_classifiers_tell_what_the_images_teach(record):
  accuracy = record["classifier"]["accuracy"]["models"]
  assert accuracy[0] > 0.6 > 0.3 > max(accuracy[1:])
  assert record["classifier"]["images"] == 150
  assert record["classifier"]["held_out"] == 15


@pytest.mark.slow
def test_the_record_is_json_and_names_its_numbers(record):
  assert json.loads(json.dumps(record)) == record
  assert record["images"] == record["matched"] == 150
  assert record["neighbours"] == 3
