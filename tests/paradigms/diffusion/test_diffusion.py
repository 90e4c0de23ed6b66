"""The whole paradigm on a few noisy pixels."""

import pathlib

import jax
import numpy as np
import pytest

from syndata_jax import models, paradigms
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.diffusion import base as bases
from syndata_jax.diffusion import size
from syndata_jax.diffusion.model import DiffusionOptions, init, make_network
from syndata_jax.ensemble import Engine, Recipe, Workspace, make_layout
from syndata_jax.ensemble.rehearsal import Rehearsal
from syndata_jax.errors import UserError
from syndata_jax.paradigms import diffusion

KEY = jax.random.key(4)
SHAPE, CLASSES, M, N, OWN = (4, 4, 1), 2, 2, 16, 10
NETWORK = {"width": 4, "multipliers": (1,), "attention": ()}


def options(**fields):
  short = {
    "diffusion_epochs": 2,
    "diffusion_batch": 4,
    "sampling_steps": 2,
    "sampling_batch": 5,
    "images_per_class": 6,
  }
  return diffusion.Options(**NETWORK | short | fields)


def drawn():
  """Model 0 owns rows 0 to 9, model 1 rows 6 to 15; labels alternate."""
  rng = np.random.default_rng(0)
  return paradigms.Private(
    rng.integers(0, 256, (N, *SHAPE), np.uint8),
    np.arange(N, dtype=np.int32) % CLASSES,
    np.stack([np.arange(OWN), np.arange(N - OWN, N)]).astype(np.int32),
    CLASSES,
  )


def engine():
  return Engine(
    model=models.create("convnet", CLASSES, width=2, depth=1),
    recipe=Recipe(num_epochs=1, batch_size=4, learning_rate=0.02),
    layout=make_layout(M, devices=jax.devices()[:1]),
    mean=(0.5,),
    std=(0.25,),
    dtype=np.dtype("float32"),
  )


def paradigm(chosen, private=None):
  return paradigms.create("diffusion", engine(), chosen, private or drawn())


def synthesize(
  chosen, folder, on_round=lambda done: None, private=None
) -> TrainingSet:
  workspace, private = Workspace(folder, on_round), private or drawn()
  return paradigm(chosen, private).synthesize(KEY, private, workspace)


def save_base(folder, **changed):
  network = DiffusionOptions(**NETWORK)
  shape, classes = changed.get("shape", SHAPE), changed.get("classes", CLASSES)
  module = make_network(network, shape, classes)
  shapes = jax.eval_shape(lambda: init(jax.random.key(9), module, shape))
  rng = np.random.default_rng(1)
  draw = lambda s: rng.normal(0, 0.1, s.shape).astype(np.float32)
  params = jax.tree.map(draw, shapes)
  seen = bases.digests(changed.get("seen", np.ones((1, *shape), np.uint8)))
  bases.save(folder, bases.Base(network, shape, classes, params, {}, seen))
  return str(folder)


def message(chosen, private=None):
  with pytest.raises(UserError) as caught:
    paradigm(chosen, private)
  assert "\n" not in str(caught.value)
  return str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["scratch", "full", "lora"])
@pytest.mark.parametrize("sampling", ["noise", "image"])
def test_sets_and_networks_of_every_kind_depend_on_own_members_alone(
  method, sampling, tmp_path
):
  chosen = options(
    method=method,
    base=save_base(tmp_path) if method != "scratch" else "",
    sampling=sampling,
    sampler="stochastic",
    guidance=1.5,
  )
  paradigms.check(paradigm(chosen))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """Three rounds of four images for each of 12, mapped from a file."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(diffusion, "_LARGE", 100)
    return synthesize(options(), tmp_path_factory.mktemp("whole"))


@pytest.mark.slow
def test_every_class_is_sampled_and_every_image_is_another(whole):
  assert whole.images.shape == (M, 12, *SHAPE)
  assert whole.images.dtype == np.uint8 and whole.chosen is None
  assert whole.labels.tolist() == [[0] * 6 + [1] * 6] * M
  assert (whole.images[0] != whole.images[1]).any()
  assert len(np.unique(whole.images.reshape(M * 12, -1), axis=0)) == M * 12


@pytest.mark.slow
def test_each_set_depends_on_its_own_members_alone(whole, tmp_path):
  """Rows 0 to 5 are those of model 0 that model 1 does not own."""
  private = drawn()
  private.images[:6] = 255 - private.images[:6]
  private.labels[:6] = 1 - private.labels[:6]
  after = synthesize(options(), tmp_path, private=private)
  np.testing.assert_array_equal(after.images[1], whole.images[1])
  assert (after.images[0] != whole.images[0]).any()


@pytest.mark.slow
def test_a_large_set_is_mapped_from_a_file(whole):
  assert isinstance(whole.images, np.memmap)
  shards = pathlib.Path(whole.images.filename).parent / "shards"
  parts = [np.load(path)["images"] for path in sorted(shards.glob("*.npz"))]
  assert [part.shape[1] for part in parts] == [4, 4, 4]
  np.testing.assert_array_equal(whole.images, np.concatenate(parts, axis=1))


@pytest.mark.slow
def test_sampling_goes_on_where_it_was_stopped(whole, tmp_path):
  """To the same bits; killed in the last round."""

  class Stopped(Exception):
    pass

  def stop(done):
    if done.stage == "samples" and done.number == 3:
      raise Stopped

  with pytest.raises(Stopped):
    synthesize(options(), tmp_path, stop)
  rounds = []
  after = synthesize(options(), tmp_path, rounds.append)
  assert [(r.stage, r.number) for r in rounds] == [("samples", 3)]
  np.testing.assert_array_equal(after.images, whole.images)


@pytest.mark.slow
def test_adapters_of_a_shared_base_redraw_private_images(tmp_path):
  chosen = options(
    method="lora",
    base=save_base(tmp_path / "base"),
    sampling="image",
    images_per_class=7,
    strength=0.7,
    sampling_steps=4,
    sampler="stochastic",
    guidance=2.0,
  )
  private = drawn()
  result = synthesize(chosen, tmp_path / "run")
  rows = result.chosen
  assert rows.shape == (M, 14)
  np.testing.assert_array_equal(result.labels, private.labels[rows])
  for own, used in zip(private.members, rows, strict=True):
    for label in range(CLASSES):
      of_class = used[7 * label : 7 * label + 7]
      assert (private.labels[of_class] == label).all()
      # Five members of a class: each of them once before any comes again.
      assert set(of_class[:5]) == set(own[private.labels[own] == label])
      np.testing.assert_array_equal(of_class[5:], of_class[:2])
  assert (result.images != private.images[rows]).any((2, 3, 4)).all()
  # Another base under the same name is not gone on with.
  other = bases.load(chosen.base, SHAPE, CLASSES)
  other.params["Conv_0"]["bias"] += 1
  bases.save(chosen.base, other)
  with pytest.raises(UserError, match="another model than the one"):
    synthesize(chosen, tmp_path / "run")


def test_strength_0_returns_the_members_and_trains_nothing(tmp_path):
  rounds = []
  chosen = options(sampling="image", strength=0.0, images_per_class=0)
  result = synthesize(chosen, tmp_path, rounds.append)
  private = drawn()
  np.testing.assert_array_equal(result.chosen, private.members)
  np.testing.assert_array_equal(result.images, private.images[private.members])
  np.testing.assert_array_equal(result.labels, private.labels[private.members])
  assert rounds == []


@pytest.mark.slow
def test_a_dry_run_has_the_shapes_of_the_whole(tmp_path):
  rehearsal = Rehearsal(tmp_path)
  result = paradigm(options()).synthesize(KEY, drawn(), rehearsal)
  assert result.images.shape == (M, 12, *SHAPE)
  assert [each.stage for each in rehearsal.estimates] == [
    "diffusion",
    "samples",
  ]
  assert rehearsal.estimates[1].images == M * 12


@pytest.mark.parametrize(
  ("fields", "said"),
  [
    (
      {"method": "dreambooth"},
      "method='dreambooth': must be one of full, lora",
    ),
    ({"method": "lora"}, "base='': must be the folder of a pre-trained model"),
    ({"method": "full"}, "under method='full'; syndata-pretrain makes one"),
    ({"strength": 1.5}, "strength=1.5: must be in [0, 1]"),
    ({"sampling": "text"}, "sampling='text': must be one of image, noise"),
    ({"sampler": "ddim"}, "sampler='ddim': must be one of heun, stochastic"),
    ({"sampling_steps": 1}, "sampling_steps=1: must be a whole number"),
    ({"guidance": -1.0}, "guidance=-1.0: must not be negative"),
    ({"rank": 0}, "rank=0: must be a whole number"),
  ],
)
def test_settings_out_of_range_are_refused(fields, said):
  with pytest.raises(UserError) as caught:
    options(**fields)
  assert said in str(caught.value)


def test_settings_that_decide_nothing_are_known():
  assert options().unread == {"base", "rank", "strength", "churn"}
  lora = options(
    method="lora", base="x", sampling="image", sampler="stochastic"
  )
  assert lora.unread == {"width", "multipliers", "blocks", "attention"}
  assert "rank" in options(method="full", base="x").unread


def test_what_does_not_fit_the_data_is_refused(tmp_path, monkeypatch):
  assert "diffusion_batch=11: must not exceed the 10" in message(
    options(diffusion_batch=11)
  )
  assert "multipliers=(1, 1, 1, 1)" in message(options(multipliers=(1,) * 4))
  assert "batch_size=4: must not exceed the 2" in message(
    options(images_per_class=1)
  )
  private = drawn()
  private.labels[private.members[1]] = 0
  assert "class 1 has no members in model 1" in message(options(), private)
  # Each member once, whatever its class is.
  assert paradigm(options(images_per_class=0), private)
  monkeypatch.setattr(size, "host_memory", lambda: 10_000)
  said = message(options(images_per_class=100))
  # 2 models x 200 images x 16 bytes, and the copy of one device.
  assert "images_per_class=100: 200 images of each model take" in said
  assert "must be 1 to 62" in said
  assert paradigm(options(images_per_class=62))


def test_a_base_that_does_not_fit_is_refused(tmp_path):
  tuned = lambda name, **changed: message(
    options(method="full", base=save_base(tmp_path / name, **changed))
  )
  assert "8x8 pixels: must be 4x4" in tuned("size", shape=(8, 8, 1))
  assert "3 channels: must be 1" in tuned("channels", shape=(4, 4, 3))
  assert "3 classes: must have 2" in tuned("classes", classes=3)
  seen = drawn().images[:3]
  assert "has learned from 3 of the private images" in tuned("seen", seen=seen)
  assert message(
    options(method="lora", base=str(tmp_path / "none"))
  ).startswith(f"base='{tmp_path / 'none'}': ")
