"""The folder of a pre-trained model: the same back, and a line for a fault."""

import dataclasses
import functools
import json

import jax
import numpy as np
import pytest

from syndata_jax.data.training_set import named_leaves
from syndata_jax.diffusion.base import (
  Base,
  digests,
  load,
  refuse_private,
  save,
)
from syndata_jax.diffusion.model import DiffusionOptions, init, make_network
from syndata_jax.errors import UserError

SHAPE = (8, 8, 1)
OPTIONS = DiffusionOptions(width=4, multipliers=(1,), attention=())
IMAGES = np.random.default_rng(0).integers(0, 256, (5, *SHAPE), np.uint8)


@functools.cache
def made():
  module = make_network(OPTIONS, SHAPE, 10)
  params = jax.device_get(init(jax.random.key(0), module, SHAPE))
  facts = {"source": "fashion_mnist", "images": 5}
  return Base(OPTIONS, SHAPE, 10, params, facts, digests(IMAGES))


@pytest.fixture
def folder(tmp_path):
  save(tmp_path / "base", made())
  return tmp_path / "base"


def message(folder, shape=SHAPE, num_classes=10):
  with pytest.raises(UserError) as caught:
    load(folder, shape, num_classes)
  assert "\n" not in str(caught.value)
  assert str(folder) in str(caught.value)
  return str(caught.value)


def test_what_is_saved_is_loaded(folder):
  before = made()
  for num_classes in (10, None):
    after = load(folder, SHAPE, num_classes)
    np.testing.assert_array_equal(after.seen, before.seen)
    empty = {"params": {}, "seen": None}
    assert after._replace(**empty) == before._replace(**empty)
    there, here = (dict(named_leaves(b.params)) for b in (before, after))
    assert there.keys() == here.keys() and len(there) > 5
    for name, array in there.items():
      np.testing.assert_array_equal(here[name], array)
      assert here[name].dtype == np.float32


def test_options_of_a_paradigm_are_saved_as_those_of_the_network(folder):
  """A paradigm's settings have more fields."""

  @dataclasses.dataclass(frozen=True)
  class Options(DiffusionOptions):
    strength: float = 0.5

  more = Options(**dataclasses.asdict(OPTIONS))
  save(folder, made()._replace(options=more))
  assert load(folder, SHAPE, 10).options == OPTIONS


def test_a_base_that_has_seen_private_images(folder):
  base = load(folder, SHAPE, 10)
  private = np.concatenate([IMAGES[2:3], 255 - IMAGES, IMAGES[4:], IMAGES[4:]])
  with pytest.raises(UserError, match="has learned from 2 of the private"):
    refuse_private(base, private)
  refuse_private(base, 255 - IMAGES)


def test_equal_models_are_equal_bytes(folder, tmp_path):
  save(tmp_path / "again", made())
  save(folder, made())  # over itself
  for name in ("base.json", "params.npz", "seen.npy"):
    again = (tmp_path / "again" / name).read_bytes()
    assert (folder / name).read_bytes() == again


def test_of_other_images(folder):
  assert "8x8 pixels: must be 28x28" in message(folder, (28, 28, 1))
  assert "1 channels: must be 3" in message(folder, (8, 8, 3))
  assert "has 10 classes: must have 7" in message(folder, num_classes=7)


def test_no_such_folder(tmp_path):
  assert "has no base.json" in message(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["base.json", "params.npz", "seen.npy"])
def test_a_missing_file(folder, name):
  (folder / name).unlink()
  assert f"has no {name}" in message(folder)


@pytest.mark.parametrize("name", ["params.npz", "seen.npy"])
def test_a_damaged_byte(folder, name):
  path = folder / name
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)
  assert f"{name}: damaged" in message(folder)


@pytest.mark.parametrize("lacking", ["options", "image_shape", "sha256"])
def test_damaged_facts(folder, lacking):
  path = folder / "base.json"
  content = json.loads(path.read_text())
  del content[lacking]
  path.write_text(json.dumps(content))
  assert "base.json: damaged" in message(folder)
  path.write_text(path.read_text()[:-9])
  assert "base.json: damaged" in message(folder)


def test_parameters_of_another_network(folder):
  path = folder / "base.json"
  content = json.loads(path.read_text())
  content["options"]["width"] = 8
  path.write_text(json.dumps(content))
  assert "not of the network" in message(folder)


def test_a_folder_that_cannot_be_written(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="cannot be written"):
    save(tmp_path / "file" / "base", made())
