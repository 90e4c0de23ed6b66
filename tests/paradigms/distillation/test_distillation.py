"""The whole paradigm, every method, on small data and on digits."""

import dataclasses
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

from syndata_jax import data, models, paradigms
from syndata_jax.data.training_set import enter, named_leaves
from syndata_jax.ensemble import Round, Workspace, predict, repeat, training
from syndata_jax.errors import UserError
from syndata_jax.paradigms.distillation import (
  Options,
  whitening,
)
from syndata_jax.paradigms.distillation.experts import _gradient
from syndata_jax.paradigms.distillation.segments import latest_start

KEY = jax.random.key(3)
TRAJECTORIES = ("datm", "mtt", "tesla")


def options(method, **fields):
  chosen = {
    "images_per_class": 2,
    "distill_model_options": {"width": 2, "depth": 1},
    "augmentation": "color_crop",
    "iterations": 3,
    "image_learning_rate": 0.5,
    "real_batch": 3,
    "outer_steps": 2,
    "inner_epochs": 1,
    "num_experts": 2,
    "expert_epochs": 3,
    "expert_batch": 8,
    "expert_learning_rate": 0.1,
    "inner_steps": 3,
    "target_epochs": 1,
    "max_start": 3,
    "learning_rate_start": 0.1,
    "learning_rate_rate": 1e-3,
  }
  if method == "datm":
    chosen |= {"label_learning_rate": 1.0, "sharpness": 0.1}
    chosen |= {"early_start": 1, "expansion_end": 4}
  if method == "tesla":
    chosen |= {"whiten": True}
  return Options(method=method, **chosen | fields)


def unread_changed(chosen):
  """Every number that the method does not read, but the one that is refused."""
  numbers = {
    name: 2 * getattr(chosen, name) + 1
    for name in chosen.unread - {"experts", "label_learning_rate"}
  }
  return dataclasses.replace(chosen, **numbers)


def drawn():
  return paradigms.Private(*small.training_set(2)[:3], small.CLASSES)


def engine(devices=1):
  network = models.create("convnet", small.CLASSES, width=2, depth=1)
  tools = small.engine(2, devices=jax.devices()[:devices])
  return tools._replace(model=network)


def synthesize(private, chosen, devices=1, workspace=None):
  paradigm = paradigms.create("distillation", engine(devices), chosen, private)
  with tempfile.TemporaryDirectory() as folder:
    workspace = workspace or Workspace(pathlib.Path(folder))
    training_set = paradigm.synthesize(KEY, private, workspace)
  return enter(training_set, private)


def learn(paradigm, training_set):
  """The variables that are queried."""
  learner = paradigm.learner(training_set)
  rounds = training(learner, KEY, training_set)
  return learner.release(repeat(engine().layout, rounds))


def of_model(training_set, model):
  """What one model is given, by name."""
  released = named_leaves(training_set.released or {})
  parts = dict(released, images=training_set.images, labels=training_set.labels)
  if training_set.chosen is not None:
    parts["chosen"] = training_set.chosen
  return {name: part[model] for name, part in parts.items()}


def begun(private, training_set):
  """Where the images began: private ones, as the network reads them."""
  images = private.images[training_set.chosen] / 255.0
  maps = (training_set.released or {}).get("whitening")
  if maps is None:
    return (images - 0.5) / 0.25
  flat = images.reshape(*images.shape[:2], -1) - maps["mean"][:, None]
  return (flat @ maps["matrix"]).reshape(images.shape)


@pytest.mark.slow
# DATM takes the step of MTT, and DC that of DSA.
@pytest.mark.parametrize(
  ("method", "devices"),
  [
    ("dm", 2),
    pytest.param("mtt", 2, marks=pytest.mark.slow),
    pytest.param("datm", 2, marks=pytest.mark.slow),
    pytest.param("dc", 2, marks=pytest.mark.slow),
    pytest.param("dsa", 2, marks=pytest.mark.slow),
    pytest.param("tesla", 2, marks=pytest.mark.slow),
  ],
)
def test_sets_are_blind_to_other_models_and_to_the_devices(method, devices):
  """Other images of the rows of model 0 alone move nothing of model 1.

  The second time every model has a device of its own: constants that devices
  share would mix the gradients of the models. Settings that the method does
  not read are others, too.
  """
  private, chosen = drawn(), options(method)
  before = synthesize(private, chosen)
  assert before.images.shape == (2, 6, *small.SHAPE)
  assert before.images.dtype == np.float32
  assert before.members is None
  if method == "datm":
    assert before.labels.shape == (2, 6, small.CLASSES)
  else:
    assert before.labels.tolist() == [[0, 0, 1, 1, 2, 2]] * 2
  pixels = small.SHAPE[0] * small.SHAPE[1]
  released = {n: a.shape for n, a in named_leaves(before.released or {})}
  rate = {"learning_rate": (2,)} if method in TRAJECTORIES else {}
  maps = {
    "whitening.mean": (2, pixels),
    "whitening.matrix": (2, pixels, pixels),
  }
  assert released == rate | (maps if chosen.whiten else {})
  assert (
    abs(begun(private, before) - before.images).max((1, 2, 3, 4)) > 1e-4
  ).all()

  exclusive = np.setdiff1d(*private.members)
  private.images[exclusive] = 255 - private.images[exclusive]
  after = synthesize(private, unread_changed(chosen), devices)
  one, two = of_model(before, 1), of_model(after, 1)
  assert one.keys() == two.keys()
  for name in one:
    np.testing.assert_allclose(one[name], two[name], rtol=1e-4, atol=1e-4)
  assert abs(after.images[0] - before.images[0]).max() > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize(
  "method", ["dm", pytest.param("mtt", marks=pytest.mark.slow)]
)
def test_a_distillation_that_was_stopped_ends_the_same(method, tmp_path):
  private, chosen = drawn(), options(method, iterations=33)  # rounds of three
  whole = synthesize(private, chosen)
  rounds = []

  def stop(done: Round):
    rounds.append(done)
    if done.stage == method and done.number == 5:
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    synthesize(private, chosen, workspace=Workspace(tmp_path, stop, every=2))
  done = len(rounds)
  resumed = synthesize(
    private, chosen, workspace=Workspace(tmp_path, rounds.append, every=2)
  )
  # Experts are not trained again; the distillation goes on after round four.
  assert [r.number for r in rounds[done:]] == list(range(5, 12))
  np.testing.assert_array_equal(resumed.images, whole.images)


@pytest.mark.slow
def test_private_images_to_begin_with_are_recorded():
  private = drawn()
  chosen = options("dm", iterations=1, image_learning_rate=1e-12)
  found = synthesize(private, chosen)
  np.testing.assert_allclose(found.images, begun(private, found), atol=1e-5)
  for own, rows in zip(private.members, found.chosen, strict=True):
    assert set(rows) <= set(own)
    assert private.labels[rows].tolist() == [0, 0, 1, 1, 2, 2]
  noise = synthesize(
    private, dataclasses.replace(chosen, initialisation="noise")
  )
  assert noise.chosen is None
  assert abs(noise.images.std() - 1) < 0.1


def test_whitening_is_fitted_on_each_models_own_members():
  private = drawn()
  found = whitening.fit(engine().layout, private)
  for model, members in enumerate(private.members):
    x = private.images[members].reshape(len(members), -1) / 255.0
    values, vectors = np.linalg.eigh(np.cov(x, rowvar=False))
    want = vectors @ np.diag(1 / np.sqrt(values + 0.1)) @ vectors.T
    np.testing.assert_allclose(found.mean[model], x.mean(0), atol=1e-5)
    np.testing.assert_allclose(found.matrix[model], want, atol=1e-3)


def test_whitening_of_a_single_image():
  """Nothing is divided by one less than one."""
  private = drawn()
  private = private._replace(members=private.members[:, :1])
  found = whitening.fit(engine().layout, private)
  x = private.images[private.members[:, 0]].reshape(2, -1) / 255.0
  np.testing.assert_allclose(found.mean, x, atol=1e-6)
  want = np.broadcast_to(np.eye(x.shape[1]) / np.sqrt(0.1), found.matrix.shape)
  np.testing.assert_allclose(found.matrix, want, atol=1e-3)


@pytest.mark.slow
def test_whitened_images_can_be_shown():
  """They begin at private images, and hardly move."""
  private = drawn()
  chosen = options("dm", whiten=True, iterations=1, image_learning_rate=1e-12)
  training_set = synthesize(private, chosen)
  want = private.images[training_set.chosen] / 255.0
  paradigm = paradigms.create("distillation", engine(), chosen, private)
  for model in range(2):
    shown = paradigm.pixels(training_set, model)
    np.testing.assert_allclose(shown, want[model], atol=1e-4)
    assert abs(training_set.images[model] - want[model]).max() > 0.1


@pytest.mark.slow
def test_queries_go_through_the_whitening_that_was_released():
  private = drawn()
  chosen = options("dm", whiten=True)
  paradigm = paradigms.create("distillation", engine(), chosen, private)
  training_set = synthesize(private, chosen)
  variables = learn(paradigm, training_set)
  logits = predict(paradigm.queried, variables, private.images[:4])
  network, released = engine().model, training_set.released["whitening"]
  for model in range(2):
    flat = private.images[:4].reshape(4, -1) / 255.0 - released["mean"][model]
    images = (flat @ released["matrix"][model]).reshape(4, *small.SHAPE)
    params = jax.tree.map(
      lambda p, m=model: p[m], variables["params"]["network"]
    )
    want = network.apply({"params": params}, jnp.asarray(images, jnp.float32))
    np.testing.assert_allclose(logits[model], want, atol=1e-4)


@pytest.mark.slow
def test_the_released_rate_takes_the_place_of_the_recipes():
  private = drawn()
  chosen = options("dm", augment_final=False)
  paradigm = paradigms.create("distillation", engine(), chosen, private)
  plain = synthesize(private, chosen)
  assert plain.released is None
  trained = lambda given: learn(paradigm, given)["params"]
  at = lambda rate: plain._replace(released={"learning_rate": rate})
  same = np.full(2, engine().recipe.learning_rate, np.float32)
  for one, two in zip(
    jax.tree.leaves(trained(plain)),
    jax.tree.leaves(trained(at(same))),
    strict=True,
  ):
    np.testing.assert_allclose(one, two, atol=1e-6)
  none = trained(at(np.zeros(2, np.float32)))
  moved = trained(at(same))
  assert any(
    abs(a - b).max() > 1e-3
    for a, b in zip(jax.tree.leaves(none), jax.tree.leaves(moved), strict=True)
  )


def test_the_window_of_starts_grows_to_its_end():
  chosen = options(
    "datm", max_start=8, early_start=2, expansion_end=100, expert_epochs=20
  )
  found = [latest_start(chosen, i) for i in (0, 16, 17, 50, 99, 100, 500)]
  assert found == [2, 2, 3, 5, 7, 8, 8]
  fixed = dataclasses.replace(chosen, early_start=0)
  assert latest_start(fixed, 0) == 8


def test_sharpness_aware_step_by_its_formula():
  """A quadratic loss, whose gradients are known."""
  matrix = np.diag([1.0, 3.0, 0.5])
  params, rho = np.array([0.4, -0.2, 1.0]), 0.05
  loss = lambda p: (0.5 * p @ jnp.asarray(matrix) @ p, ())
  with jax.enable_x64(True):
    found, _ = _gradient(loss, jnp.asarray(params), rho)
  clean = matrix @ params
  moved = params + rho * params**2 * clean / np.linalg.norm(params * clean)
  sharp = matrix @ moved
  across = clean - (clean @ sharp) / (sharp @ sharp) * sharp
  np.testing.assert_allclose(found, sharp - 0.3 * across, rtol=1e-9)


@pytest.mark.slow
def test_experts_of_another_run(tmp_path):
  private, chosen = drawn(), options("mtt")
  synthesize(private, chosen, workspace=Workspace(tmp_path / "first"))
  folder = str(tmp_path / "first" / "experts")
  rounds = []
  reused = dataclasses.replace(chosen, method="tesla", experts=folder)
  second = Workspace(tmp_path / "second", rounds.append)
  synthesize(private, reused, workspace=second)
  assert {r.stage for r in rounds} == {"tesla"}

  def refused(message, private=private, **fields):
    with pytest.raises(UserError, match=message):
      synthesize(private, dataclasses.replace(reused, **fields))

  refused("no trained networks there", experts=str(tmp_path))
  other = {"width": 3, "depth": 1}
  refused("distill_model_options is .*2.* there", distill_model_options=other)
  refused("expert_epochs is 3 there and 4 here", expert_epochs=4)
  images = private.images.copy()
  images[0] += 1
  refused("data set is", private=private._replace(images=images))
  members = private.members[:, ::-1].copy()
  refused("split is", private=private._replace(members=members))
  next(
    path for path in pathlib.Path(folder, "00002").iterdir() if path.is_file()
  ).write_text("x")
  refused("snapshot of epoch 2 is damaged")
  # From epoch 0 to 1: epoch 2 is not asked for.
  synthesize(private, dataclasses.replace(reused, max_start=1))


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"method": "sre2l"}, r"method='sre2l': must be one of datm, dc, dm"),
    ({"initialisation": "public"}, "initialisation='public': must be one of"),
    ({"augmentation": "color_tint"}, "augmentation="),
    ({"images_per_class": 0}, "images_per_class=0: must be greater than 0"),
    (
      {"force_canaries": True, "initialisation": "noise"},
      "force_canaries=True: needs initialisation='private'",
    ),
    (
      {"method": "mtt", "max_start": 50, "expert_epochs": 50},
      r"max_start=50: starts must .* lie in \[0, 49\)",
    ),
    ({"method": "mtt", "min_start": 20}, "min_start=20, max_start=20"),
    ({"label_learning_rate": 1.0}, "label_learning_rate=1: must be 0 under dm"),
    ({"method": "datm", "early_start": 21}, "early_start=21: must be 0 or in"),
  ],
)
def test_settings_that_are_refused(fields, message):
  with pytest.raises(UserError, match=message):
    Options(**fields)


def test_what_the_data_refuse():
  private = drawn()

  def refused(message, **fields):
    with pytest.raises(UserError, match=message):
      paradigms.create(
        "distillation", engine(), options("dm", **fields), private
      )

  refused("images_per_class=50: must be at most", images_per_class=50)
  refused(
    "distill_model='convnet': must be without batch norm",
    distill_model_options={"norm": "batch"},
  )
  refused(
    "initial_dir=None: data_dir=None: must be",
    initialisation="outside",
    initial_source="folder",
  )


def test_public_images_must_not_be_private_ones():
  source = data.load("digits")
  split = data.make_split(source.train_labels, 20, 2, 10, "clean", 0)
  private = paradigms.Private(
    source.train_images, split.labels, split.members, 10
  )
  chosen = options("dm", initialisation="outside", initial_source="digits")
  with pytest.raises(UserError, match=r"initial_source=.digits.: .* private"):
    paradigms.create("distillation", engine(), chosen, private)


def with_few_of_class_2(few):
  """Model 0 owns so many images of it; nobody owns row 0."""
  private = drawn()
  spare = np.setdiff1d(np.arange(small.POOL), private.members)
  private.members[private.members == 0] = spare[-1]
  own = private.members[0]
  rare = own[private.labels[own] == 2][few:]
  private.labels[rare] = np.arange(len(rare)) % 2
  assert np.bincount(private.labels[own], minlength=3)[2] == few
  return private


@pytest.mark.slow
@pytest.mark.parametrize(
  "method", ["dm", pytest.param("dsa", marks=pytest.mark.slow)]
)
def test_row_0_moves_no_model_that_lacks_it(method):
  """Two data sets that differ there alone; a batch has room for more of 2."""
  chosen = options(method, initialisation="noise")
  sets = []
  for brightness in (0, 255):
    private = with_few_of_class_2(1)
    private.images[0] = brightness
    sets.append(synthesize(private, chosen).images)
  np.testing.assert_array_equal(*sets)


def test_who_matches_no_class_by_itself_may_lack_one():
  private = with_few_of_class_2(0)
  create = lambda method: paradigms.create(
    "distillation", engine(), options(method, initialisation="noise"), private
  )
  create("mtt")
  with pytest.raises(
    UserError, match="method='dsa': class 2 has no members in"
  ):
    create("dsa")
