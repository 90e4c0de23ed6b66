"""The whole paradigm, on small data and on digits."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from variants import others_slow

from syndata_jax import data, models, paradigms
from syndata_jax.data.training_set import enter, private_set
from syndata_jax.ensemble import (
  Engine,
  Own,
  Pool,
  Recipe,
  Workspace,
  make_layout,
  over_members,
  predict,
  rehearsal,
  variables,
)
from syndata_jax.errors import UserError
from syndata_jax.paradigms import coreset
from syndata_jax.paradigms.coreset.judging import judge

KEY = jax.random.key(4)


def options(method, **fields):
  chosen = {"fraction": 0.5, "selection_epochs": 3, "selection_networks": 1}
  return coreset.Options(method=method, **chosen | fields)


def drawn():
  return paradigms.Private(*small.training_set(2)[:3], small.CLASSES)


def small_engine(num_models=2):
  network = models.create("convnet", small.CLASSES, width=2, depth=1)
  engine = small.engine(num_models, devices=jax.devices()[:1])
  return engine._replace(model=network)


def synthesize(private, chosen, folder):
  engine = small_engine(len(private.members))
  paradigm = paradigms.create("coreset", engine, chosen, private)
  return paradigm.synthesize(KEY, private, Workspace(folder))


def owned(members, index):
  """bool[len(index), M], which rows of the pool each model keeps."""
  return np.stack([np.isin(index, own) for own in members], axis=1)


def test_random_keeps_its_share_independently_in_every_model(tmp_path):
  rng = np.random.default_rng(0)
  num_models, size, fraction = 60, 200, 0.3
  private = paradigms.Private(
    np.zeros((size, 8, 8, 1), np.uint8),
    rng.integers(0, 3, size).astype(np.int32),
    np.tile(np.arange(size, dtype=np.int32), (num_models, 1)),
    3,
  )
  chosen = options("random", fraction=fraction)
  members = synthesize(private, chosen, tmp_path).members
  kept = owned(members, np.arange(size))  # [size, models]
  assert (kept.sum(axis=0) == 60).all()
  # Each example: binomial over the models; five deviations either way.
  deviation = np.sqrt(fraction * (1 - fraction) / num_models)
  assert abs(kept.mean(axis=1) - fraction).max() < 5 * deviation
  assert kept.mean(axis=1).std() == pytest.approx(deviation, rel=0.3)
  # Pairs of models share fraction^2 of the examples.
  shared = (kept.T.astype(int) @ kept.astype(int)) / size
  apart = ~np.eye(num_models, dtype=bool)
  assert shared[apart].mean() == pytest.approx(fraction**2, abs=0.005)
  assert shared[apart].max() < 0.17


@pytest.mark.parametrize(
  "method",
  [
    "random",
    "forgetting",
    pytest.param("herding", marks=pytest.mark.slow),
    pytest.param("margin", marks=pytest.mark.slow),
    pytest.param("k_center", marks=pytest.mark.slow),
  ],
)
def test_sets_are_balanced_and_blind_to_other_models(method, tmp_path):
  """Other images of the rows of model 0 alone move nothing of model 1."""
  private, chosen = drawn(), options(method)
  before = synthesize(private, chosen, tmp_path / "before")
  assert before.images is None and before.labels is None
  assert before.members.shape == (2, 12)
  for own, kept in zip(private.members, before.members, strict=True):
    assert set(kept) <= set(own) and len(set(kept)) == 12
    share = np.bincount(private.labels[own], minlength=3) / 2
    got = np.bincount(private.labels[kept], minlength=3)
    assert (abs(got - share) <= 1).all()

  exclusive = np.setdiff1d(*private.members)
  private.images[exclusive] = 255 - private.images[exclusive]
  after = synthesize(private, chosen, tmp_path / "after")
  np.testing.assert_array_equal(after.members[1], before.members[1])
  if method in ("margin", "herding"):  # the change is seen where it belongs
    assert (after.members[0] != before.members[0]).any()


@pytest.mark.slow
def test_scores_are_the_mean_over_networks_that_differ(tmp_path):
  private, engine = drawn(), small_engine()
  everything = private_set(private)
  group = private.labels[private.members]

  def judged(number):
    chosen = options("el2n", selection_epochs=1, selection_networks=number)
    workspace = Workspace(tmp_path / str(number))
    return judge(engine, chosen, KEY, everything, group, 4, workspace)

  first, mean = judged(1), judged(2)
  second = 2 * mean - first
  assert abs(second - first).max() > 0.05  # and yet a norm of errors
  assert (second >= 0).all() and (second <= np.sqrt(2)).all()


def test_selection_has_a_constant_rate_and_no_augmentation(tmp_path):
  """Whatever the schedule and the views of the final training are."""
  private, engine = drawn(), small_engine()
  everything = private_set(private)
  group = private.labels[private.members]
  other = dataclasses.replace(
    engine.recipe,
    num_epochs=9,
    schedule="cosine",
    warmup_epochs=0.0,
    shift=0,
    flip=False,
  )
  asked = options("margin"), KEY, everything, group, 4
  first = judge(engine, *asked, Workspace(tmp_path / "first"))
  engine = engine._replace(recipe=other)
  second = judge(engine, *asked, Workspace(tmp_path / "second"))
  np.testing.assert_array_equal(first, second)


def test_outputs_are_what_the_last_layer_reads_and_writes():
  private, engine = drawn(), small_engine()
  images = engine.normalise(jnp.asarray(private.images))
  trained = engine.model.init(KEY, images, False)
  pool = Pool(jnp.asarray(private.images), jnp.asarray(private.labels))
  own = Own(KEY, jnp.asarray(private.members[1]))

  def outputs(images):
    return models.outputs(engine.model, trained, engine.normalise(images))

  embedding, logits, labels = (
    over_members(lambda x, y, part=part: part(x, y), own, pool)
    for part in (
      lambda x, y: outputs(x)[0],
      lambda x, y: outputs(x)[1],
      lambda x, y: y,
    )
  )
  want = engine.model.apply(trained, images[own.rows], False)
  last = trained["params"]["Classifier_0"]["Dense_0"]
  assert embedding.shape == (small.OWN, 32)
  np.testing.assert_allclose(logits, want, atol=1e-5)
  np.testing.assert_allclose(
    embedding @ last["kernel"] + last["bias"], want, atol=1e-5
  )
  np.testing.assert_array_equal(labels, private.labels[private.members[1]])


def test_a_batch_larger_than_the_selection_is_refused():
  engine = small_engine()
  engine = engine._replace(
    recipe=dataclasses.replace(engine.recipe, batch_size=20)
  )
  with pytest.raises(
    UserError, match="batch_size=20: must not exceed the 12 examples"
  ):
    paradigms.create("coreset", engine, options("random"), drawn())


@pytest.fixture(scope="module")
def digits():
  """Two models, 400 real scans, 40 mislabelled canaries."""
  source = data.subset(data.load("digits"), 400, 0)
  split = data.make_split(
    source.train_labels, 40, 2, source.num_classes, "mislabelled", 0
  )
  private = paradigms.Private(
    source.train_images, split.labels, split.members, source.num_classes
  )
  engine = Engine(
    model=models.create("convnet", 10, width=8, depth=1),
    recipe=Recipe(
      num_epochs=8, batch_size=20, learning_rate=0.1, schedule="cosine"
    ),
    layout=make_layout(2, devices=jax.devices()[:1]),
    mean=source.mean,
    std=source.std,
    dtype=jnp.dtype("float32"),
  )
  return source, split, private, engine


@pytest.mark.parametrize(
  "method, low, high",
  others_slow([("forgetting", 0.9, 1.0), ("herding", 0.0, 0.6)], 0),
)
def test_digits_from_private_images_to_accuracy(
  digits, method, low, high, tmp_path
):
  """Forgetting takes nearly all mislabelled images, herding avoids them."""
  source, split, private, engine = digits
  chosen = options(method, fraction=0.4, selection_epochs=8)
  paradigm = paradigms.create("coreset", engine, chosen, private)
  chosen_set = enter(
    paradigm.synthesize(KEY, private, Workspace(tmp_path)), private
  )
  assert chosen_set.members.shape == (2, 152)
  kept = owned(chosen_set.members, split.canary_index)
  assert not kept[~split.membership].any()
  share = kept.sum(axis=0) / split.membership.sum(axis=0)
  assert (low <= share).all() and (share <= high).all()
  state = small.learn(engine.layout, paradigm.learner, chosen_set, KEY)
  logits = predict(engine, variables(state), source.test_images)
  accuracy = (logits.argmax(-1) == source.test_labels).mean(axis=1)
  assert (accuracy > 0.5).all()


class Stopped(Exception):
  """What a kill is in these tests."""


def chosen_with(method, workspace, **fields):
  private, engine = drawn(), small_engine()
  paradigm = paradigms.create(
    "coreset", engine, options(method, **fields), private
  )
  return paradigm.synthesize(KEY, private, workspace)


@pytest.mark.slow
@pytest.mark.parametrize(
  "method, networks, stop, rest",
  [
    ("forgetting", 1, ("selection_0", 3), [("selection_0", 3)]),
    pytest.param(
      "grand",
      2,
      ("selection_1", 2),
      [("selection_1", 2), ("selection_1", 3)],
      marks=pytest.mark.slow,
    ),
  ],
)
def test_a_stopped_selection_continues_to_the_same(
  tmp_path, method, networks, stop, rest
):
  """Rounds that have their checkpoint are not run again."""
  told = []

  def stopping(done):
    if (done.stage, done.number) == stop:
      raise Stopped

  fields = {"selection_networks": networks}
  whole = chosen_with(method, Workspace(tmp_path / "whole"), **fields)
  with pytest.raises(Stopped):
    chosen_with(
      method, Workspace(tmp_path / "cut", stopping, every=1), **fields
    )
  again = chosen_with(
    method, Workspace(tmp_path / "cut", told.append, every=1), **fields
  )
  assert [(done.stage, done.number) for done in told] == rest
  np.testing.assert_array_equal(again.members, whole.members)
  np.testing.assert_array_equal(again.chosen, whole.members)


def test_the_history_of_forgetting_is_kept_with_the_network(tmp_path):
  """Continued from each of its checkpoints, a selection counts the same."""
  private, engine = drawn(), small_engine()
  everything = private_set(private)
  group = private.labels[private.members]
  chosen = options("forgetting", selection_epochs=4)

  def counted(workspace):
    return judge(engine, chosen, KEY, everything, group, 4, workspace)

  counted(Workspace(tmp_path, every=1))
  want = counted(Workspace(tmp_path / "whole"))
  assert (want > 0).any() and len(np.unique(want)) > 2
  folder = tmp_path / "selection_0"
  (folder / "00004.sha256").unlink()  # back to the third epoch
  told = []
  np.testing.assert_array_equal(
    counted(Workspace(tmp_path, told.append, every=1)), want
  )
  assert [done.number for done in told] == [4]


@pytest.mark.slow
@pytest.mark.parametrize(
  "method", others_slow(["forgetting", "random", "herding"])
)
def test_a_rehearsal_has_the_shape_of_the_selection(
  method, tmp_path, monkeypatch
):
  monkeypatch.setattr(rehearsal, "_SECONDS", 0.0)
  trial = rehearsal.Rehearsal(tmp_path / "trial")
  short = chosen_with(method, trial)
  whole = chosen_with(method, Workspace(tmp_path / "whole"))
  for got, want in zip(short, whole, strict=True):
    assert (got is None) == (want is None)
    assert want is None or (got.shape, got.dtype) == (want.shape, want.dtype)
  stages = [(each.stage, each.rounds) for each in trial.estimates]
  assert stages == ([] if method == "random" else [("selection_0", 3)])
