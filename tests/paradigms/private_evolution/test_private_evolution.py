"""The whole paradigm on a few pixels, by a generator of one's own."""

import dataclasses
import math

import evolving
import jax
import numpy as np
import pytest

from syndata_jax import data, models, paradigms
from syndata_jax.ensemble import Engine, Recipe, Workspace, make_layout
from syndata_jax.ensemble.rehearsal import Rehearsal
from syndata_jax.errors import UserError
from syndata_jax.evolution import apis
from syndata_jax.images import spaces
from syndata_jax.paradigms import private_evolution
from syndata_jax.privacy import gaussian_noise_multiplier

KEY = jax.random.key(4)
M, N, OWN, CLASSES, SAMPLES, T = 2, 48, 30, 3, 12, 2


def options(**fields):
  short = {
    "api": evolving.FILE,
    "embedding": "pixels",
    "num_samples": SAMPLES,
    "num_iterations": T,
    "epsilon": 20.0,
    "degree_first": 0.3,
  }
  return private_evolution.Options(**short | fields)


def drawn():
  """Model 0 owns rows 0 to 29, model 1 rows 18 to 47: digits of 0, 1, 2."""
  digits = data.load("digits")
  rows = np.flatnonzero(digits.train_labels < CLASSES)[:N]
  members = np.stack([np.arange(OWN), np.arange(N - OWN, N)])
  return paradigms.Private(
    digits.train_images[rows],
    digits.train_labels[rows],
    members.astype(np.int32),
    CLASSES,
  )


def engine(models_at_once=1):
  return Engine(
    model=models.create("convnet", CLASSES, width=2, depth=1),
    recipe=Recipe(num_epochs=1, batch_size=4, learning_rate=0.02),
    layout=make_layout(M, chunk=models_at_once, devices=jax.devices()[:1]),
    mean=(0.5,),
    std=(0.25,),
    dtype=np.dtype("float32"),
  )


def paradigm(chosen, private=None, models_at_once=1):
  return paradigms.create(
    "private_evolution", engine(models_at_once), chosen, private or drawn()
  )


def synthesize(chosen, folder, on_round=lambda done: None, **given):
  private = given.get("private") or drawn()
  workspace = Workspace(folder, on_round, every=1)
  return paradigm(chosen, **given).synthesize(KEY, private, workspace)


def message(chosen, private=None):
  with pytest.raises(UserError) as caught:
    paradigm(chosen, private)
  assert "\n" not in str(caught.value)
  return str(caught.value)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  rounds = []
  folder = tmp_path_factory.mktemp("whole")
  return synthesize(options(), folder, rounds.append), rounds


def test_every_model_has_a_set_of_its_own(whole):
  training_set, rounds = whole
  assert training_set.images.shape == (M, SAMPLES, 8, 8, 1)
  assert training_set.images.dtype == np.uint8
  assert training_set.labels.tolist() == [[0] * 4 + [1] * 4 + [2] * 4] * M
  assert training_set.members is None and training_set.chosen is None
  assert (training_set.images[0] != training_set.images[1]).any()
  assert [(r.stage, r.number, r.of) for r in rounds] == [
    ("evolution", 1, T),
    ("evolution", 2, T),
  ]
  assert set(rounds[0].metrics) == {"signal", "ancestors"}


def test_each_set_depends_on_its_own_members_alone():
  """Nearly without noise, which could hide what is shared."""
  paradigms.check(paradigm(options(epsilon=0.0, noise_multiplier=0.01)))


@pytest.mark.slow
def test_members_of_its_own_do_decide(whole, tmp_path):
  private = drawn()
  private.images[:18] = 255 - private.images[:18]
  after = synthesize(options(), tmp_path, private=private)
  assert (after.images[0] != whole[0].images[0]).any()
  np.testing.assert_array_equal(after.images[1], whole[0].images[1])


@pytest.mark.slow
def test_two_at_once_are_as_one_after_the_other(whole, tmp_path):
  after = synthesize(options(), tmp_path, models_at_once=2)
  np.testing.assert_array_equal(after.images, whole[0].images)


def test_it_goes_on_where_it_was_stopped(whole, tmp_path):
  class Stopped(Exception):
    pass

  def stop(done):
    if done.number == 2:
      raise Stopped

  with pytest.raises(Stopped):
    synthesize(options(), tmp_path, stop)
  rounds = []
  after = synthesize(options(), tmp_path, rounds.append)
  assert [round.number for round in rounds] == [2]
  np.testing.assert_array_equal(after.images, whole[0].images)


class OnHost(evolving.Dots):
  """The same generator, of which it is not known that it can be traced."""

  traceable = False


def test_on_the_host_it_evolves_the_same(whole, tmp_path, monkeypatch):
  monkeypatch.setattr(apis, "create", lambda *arguments: OnHost())
  rounds = []
  after = synthesize(options(), tmp_path, rounds.append)
  np.testing.assert_array_equal(after.images, whole[0].images)
  assert [(r.stage, r.number, r.of) for r in rounds] == [
    ("evolution", 1, M),
    ("evolution", 2, M),
  ]
  # A model that is done is not done again.
  synthesize(options(), tmp_path, rounds.append)
  assert len(rounds) == M


@pytest.mark.slow
@pytest.mark.parametrize(
  "embedding", ["pixels", pytest.param("features", marks=pytest.mark.slow)]
)
def test_a_dry_run_has_the_shapes_of_the_whole(tmp_path, embedding):
  rehearsal = Rehearsal(tmp_path)
  chosen = options(num_iterations=9, embedding=embedding, embedding_images=9)
  result = paradigm(chosen).synthesize(KEY, drawn(), rehearsal)
  assert result.images.shape == (M, SAMPLES, 8, 8, 1)
  stages = [(each.stage, each.rounds) for each in rehearsal.estimates]
  epochs = spaces._RECIPE.num_epochs
  learned = [("embedding", epochs)] if embedding == "features" else []
  assert stages == [*learned, ("evolution", 9)]


def test_the_statement_is_that_of_one_model():
  statement = paradigm(options()).statement
  assert statement.epsilon == pytest.approx(20, rel=1e-6)
  assert statement.epsilon <= 20 * (1 + 1e-9)
  assert statement.scope == "each model alone"
  assert statement.delta == pytest.approx(1 / (OWN * math.log(OWN)))
  (release,) = statement.releases
  noise = gaussian_noise_multiplier(20, T, statement.delta)
  assert release.count == T and release.kind == "votes"
  assert release.event.noise_multiplier == pytest.approx(noise, rel=1e-6)
  assert "a test card" in statement.public
  noisy = options(epsilon=0.0, noise_multiplier=3.0)
  ((event, count),) = (
    (each.event, each.count) for each in paradigm(noisy).statement.releases
  )
  assert (event.noise_multiplier, count) == (pytest.approx(3.0), T)
  assert paradigm(options(epsilon=math.inf)).statement is None


@pytest.mark.parametrize(
  ("fields", "said"),
  [
    ({"epsilon": 0.0}, "exactly one must be above 0"),
    ({"noise_multiplier": 1.0}, "exactly one must be above 0"),
    ({"class_shares": "private"}, "class_shares='private': must be declared"),
    ({"budget": "adaptive"}, "budget='adaptive': must be one that is fixed"),
    ({"start_check_share": 0.1}, "start_check_share=0.1: must be 0 under"),
    ({"keep_selected": True}, "initial_variations=0: must be 1 under"),
    ({"embedding": "words"}, "embedding='words': must be one of"),
    ({"embedding": "inception"}, "inception='': must be a TorchScript file"),
  ],
)
def test_settings_out_of_range_are_refused(fields, said):
  with pytest.raises(UserError) as caught:
    options(**fields)
  assert said in str(caught.value)


def test_what_does_not_fit_the_data_is_refused():
  assert "nearest=5: must be at most 4" in message(options(nearest=5))
  assert "must be 3 numbers" in message(options(class_fractions=(1.0, 2.0)))
  assert "batch_size=4: must not exceed the 3" in message(
    options(num_samples=3)
  )
  assert "delta=0.1: must be at most" in message(options(delta=0.1))
  pool = options(api="pool", pool="digits", pool_labels=False)
  assert "of the private images" in message(pool)


@pytest.mark.slow
def test_rank_keeps_parents_and_takes_their_variations(tmp_path):
  chosen = options(
    selection="rank",
    variations=1,
    keep_selected=True,
    initial_variations=1,
    noise="discrete",
    look_ahead=1,
  )
  result = synthesize(chosen, tmp_path)
  assert result.images.shape == (M, SAMPLES, 8, 8, 1)
  release = paradigm(chosen).statement.releases[0]
  assert release.mechanism.startswith("discrete Gaussian noise")


@pytest.mark.slow
@pytest.mark.slow
def test_it_moves_towards_the_private_images(tmp_path):
  """Without noise, by the distance of members to the nearest of their class."""
  private = drawn()
  chosen = options(
    epsilon=math.inf,
    num_samples=60,
    num_iterations=25,
    degree_first=0.15,
    degree_last=0.03,
  )
  still = dataclasses.replace(chosen, num_iterations=1, degree_first=0.0)
  far = []
  for name, each in (("start", still), ("end", chosen)):
    result = synthesize(each, tmp_path / name)
    images, labels = result.images[0] / 255, result.labels[0]
    rows = private.members[0]
    members, of_members = private.images[rows] / 255, private.labels[rows]
    squared = ((members[:, None] - images[None]) ** 2).sum((2, 3, 4))
    squared[of_members[:, None] != labels[None]] = np.inf
    far.append(np.sqrt(squared.min(1)).mean())
  assert far[1] < 0.9 * far[0]
