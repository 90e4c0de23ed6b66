"""The whole paradigm on small data."""

import dataclasses
import shutil
from functools import partial

import data_free_small as tiny
import jax
import numpy as np
import pytest

from syndata_jax import models, paradigms
from syndata_jax.data.training_set import private_set
from syndata_jax.ensemble import Checkpoints, Workspace, sgd
from syndata_jax.errors import UserError
from syndata_jax.keys import stream
from syndata_jax.paradigms.data_free import inversion, student, teacher

# The most that can go on at once: a student learns along, and all is resumed.
ADVERSARIAL = tiny.options(
  adversarial_weight=0.5,
  one_hot_weight=0.3,
  meta_learnt=True,
  reset_round=2,
)


def created(chosen, **recipe):
  return paradigms.create(
    "data_free", tiny.engine(**recipe), chosen, tiny.private()
  )


class Stopped(Exception):
  """By the test."""


def stop_at(stage, number, rounds):
  def on_round(done):
    rounds.append((done.stage, done.number))
    if (done.stage, done.number) == (stage, number):
      raise Stopped

  return on_round


BOTH = [tiny.options(), pytest.param(ADVERSARIAL, marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=BOTH, ids=["fast", "adversarial"])
def finished(request, tmp_path_factory):
  """Both steps of a run: where its stages are, the paradigm, the outcome."""
  folder = tmp_path_factory.mktemp("finished")
  paradigm = created(request.param)
  outcome = paradigms.run(
    paradigm, tiny.KEY, tiny.private(), Workspace(folder, every=2)
  )
  return folder, paradigm, outcome


@pytest.mark.slow
def test_a_set_is_released_with_its_teacher(finished):
  _, paradigm, outcome = finished
  images, labels, members, released, chosen = outcome.training_set
  assert images.shape == (2, 24, 8, 8, 1) and images.dtype == np.uint8
  assert members is None and chosen is None
  assert images.std() > 1 and (images[0] != images[1]).any()
  teacher = paradigm.others(outcome.training_set)["teacher"]
  assert teacher.variables is released["teacher"]
  for m in range(2):
    variables = jax.tree.map(lambda leaf, m=m: leaf[m], teacher.variables)
    read = (images[m].astype(np.float32) / 255 - 0.5) / 0.25
    logits = teacher.engine.model.apply(variables, read, False)
    np.testing.assert_array_equal(labels[m], logits.argmax(-1))
  kernel = lambda v: v["params"]["Conv_0"]["kernel"]
  assert not np.array_equal(
    kernel(teacher.variables), kernel(outcome.variables)
  )


@pytest.mark.slow
@pytest.mark.parametrize("finished", [ADVERSARIAL], indirect=True)
def test_the_student_is_the_one_that_was_deceived(finished):
  """`learn` repeats the training that the inversion has carried along."""
  folder, _, outcome = finished
  setup = tiny.setup(ADVERSARIAL)
  key = jax.random.key(0)
  shadow = inversion.Shadow(key, tiny.taught(setup), key)
  state = jax.eval_shape(lambda: inversion._init(setup, shadow, None))
  shapes = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct((2, *leaf.shape), leaf.dtype), state
  )
  number, last = Checkpoints(folder / "inversion" / "states").latest(shapes)
  assert number == 4
  carried = last.deceived.student
  assert carried.epoch.tolist() == [3, 3]
  np.testing.assert_array_equal(last.deceived.pool, outcome.training_set.images)
  variables = student.variables(carried.model)
  jax.tree.map(np.testing.assert_array_equal, variables, outcome.variables)


@pytest.mark.slow
def test_a_stopped_inversion_goes_on_to_the_same_bits(finished, tmp_path):
  """A kill after the third of four rounds leaves the state of the second."""
  folder, paradigm, outcome = finished
  shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
  for path in (tmp_path / "inversion").glob("*/00004*"):
    shutil.rmtree(path) if path.is_dir() else path.unlink()
  rounds = []
  workspace = Workspace(tmp_path, lambda done: rounds.append(done), every=2)
  training_set = paradigm.synthesize(
    stream(tiny.KEY, "synthesize"), tiny.private(), workspace
  )
  assert [(r.stage, r.number) for r in rounds] == [
    ("inversion", 3),
    ("inversion", 4),
  ]
  before = outcome.training_set
  np.testing.assert_array_equal(training_set.images, before.images)
  np.testing.assert_array_equal(training_set.labels, before.labels)
  jax.tree.map(
    np.testing.assert_array_equal, training_set.released, before.released
  )


@pytest.mark.slow
@pytest.mark.parametrize(
  "chosen",
  [
    tiny.options(),
    pytest.param(ADVERSARIAL, marks=pytest.mark.slow),
    pytest.param(
      tiny.options("deep_inversion", adversarial_weight=1.0),
      marks=pytest.mark.slow,
    ),
  ],
)
def test_models_are_kept_apart(chosen):
  paradigms.check(created(chosen))


@pytest.mark.slow
def test_finished_networks_are_taken_as_teachers(tmp_path):
  engine, private = tiny.engine(num_epochs=2), tiny.private()
  state = Workspace(tmp_path, every=10).train(
    "ensemble",
    engine.layout,
    partial(sgd, engine),
    tiny.KEY,
    private_set(private),
  )
  for folder in (tmp_path, tmp_path / "ensemble"):
    chosen = dataclasses.replace(tiny.options(), teacher=str(folder))
    rounds = []
    workspace = Workspace(
      tmp_path / "run", stop_at("inversion", 4, rounds), every=10
    )
    with pytest.raises(Stopped):
      created(chosen).synthesize(tiny.KEY, private, workspace)
    assert {stage for stage, _ in rounds} == {"inversion"}
  setup = tiny.setup(chosen)
  taken = tiny_train(setup, chosen, private, workspace)
  jax.tree.map(np.testing.assert_array_equal, taken["params"], state.params)

  def refused(match, chosen=chosen, private=private):
    with pytest.raises(UserError, match=match) as caught:
      tiny_train(tiny.setup(chosen), chosen, private, workspace)
    assert "\n" not in str(caught.value)

  other = private._replace(members=private.members[::-1])
  refused(r"teacher=.*of another identity \(split is", private=other)
  changed = dataclasses.replace(
    chosen, teacher_model_options={"width": 2, "depth": 2, "norm": "batch"}
  )
  refused(r"teacher=.*identity \(model_options is", changed)
  nowhere = dataclasses.replace(chosen, teacher=str(tmp_path / "nowhere"))
  refused("teacher=.*no trained networks there", nowhere)


def tiny_train(setup, chosen, private, workspace):
  return teacher.train(setup.teacher, chosen, tiny.KEY, private, workspace)


@pytest.mark.parametrize(
  ("fields", "match"),
  [
    ({"method": "cmi"}, "method='cmi': must be one of deep_inversion, fast"),
    ({"temperature": 0.0}, "temperature=0.0: must be greater than 0"),
    ({"synthetic_batch": 1}, "synthetic_batch=1: must be at least 2"),
    ({"passes": 0}, "passes=0: must be greater than 0"),
    ({"statistics_weight": 0.0}, "statistics_weight=0, one_hot_weight=0: set"),
    ({"statistics_momentum": 1.0}, r"statistics_momentum=1.0: .*\[0, 1\)"),
    ({"adversarial_weight": -1.0}, "adversarial_weight=-1.0: must not be"),
    ({"teacher_epochs": -1}, "teacher_epochs=-1: must not be negative"),
    ({"teacher_model": "vgg"}, "teacher_model: model='vgg': must be one of"),
    ({"teacher_batch": 25}, "teacher: batch_size=25: must not exceed the 24"),
    (
      {"teacher_model": "convnet"},
      "model='convnet': the teacher of data_free must have batch norm, such as"
      " model_options={'norm': 'batch'}",
    ),
  ],
)
def test_wrong_settings_are_refused_in_one_line(fields, match):
  with pytest.raises(UserError, match=match) as caught:
    created(tiny.options(**fields))
  assert "\n" not in str(caught.value)


def test_a_batch_larger_than_the_first_pool_is_refused():
  with pytest.raises(UserError, match="batch_size=13: must not exceed the 12"):
    created(tiny.options(), batch_size=13)


def test_a_student_may_do_without_batch_norm():
  network = models.create("convnet", 3, width=2, depth=1)
  engine = tiny.engine()._replace(model=network, options=())
  match = "the teacher of data_free must have batch norm"
  with pytest.raises(UserError, match=match):
    paradigms.create("data_free", engine, tiny.options(), tiny.private())
  other = tiny.options(
    teacher_model="convnet",
    teacher_model_options={"width": 2, "depth": 1, "norm": "batch"},
  )
  paradigms.create("data_free", engine, other, tiny.private())


def test_settings_of_the_other_method_are_not_read():
  unread = tiny.options().unread
  assert "pixel_learning_rate" in unread and "reset_round" in unread
  assert "reset_round" not in ADVERSARIAL.unread
  unread = tiny.options("deep_inversion").unread
  assert "code_size" in unread and "variation_weight" not in unread
