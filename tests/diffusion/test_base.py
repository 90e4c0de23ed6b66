"""The folder of a pre-trained model: the same back, and a line for a fault."""

import json

import numpy as np
import pytest

from syndata_jax.diffusion.base import Base, load, save
from syndata_jax.errors import UserError

SHAPE = (8, 8, 1)


def made():
  draw = np.random.default_rng(0)
  kernel = draw.normal(size=(3, 3, 1, 4)).astype(np.float32)
  params = {"Conv_0": {"kernel": kernel, "bias": kernel[0, 0, 0]}}
  params["scale"] = np.float32([2.0])
  facts = {"source": "fashion_mnist", "images": 60000}
  return Base({"width": 4, "multipliers": [1, 2]}, SHAPE, 10, params, facts)


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
    assert after._replace(params={}) == before._replace(params={})
    assert after.params.keys() == before.params.keys()
    np.testing.assert_array_equal(after.params["scale"], [2.0])
    for name, array in before.params["Conv_0"].items():
      np.testing.assert_array_equal(after.params["Conv_0"][name], array)
      assert after.params["Conv_0"][name].dtype == np.float32


def test_equal_models_are_equal_bytes(folder, tmp_path):
  save(tmp_path / "again", made())
  save(folder, made())  # over itself
  for name in ("base.json", "params.npz"):
    again = (tmp_path / "again" / name).read_bytes()
    assert (folder / name).read_bytes() == again


def test_of_other_images(folder):
  assert "8x8 pixels: must be 28x28" in message(folder, (28, 28, 1))
  assert "1 channels: must be 3" in message(folder, (8, 8, 3))
  assert "has 10 classes: must have 7" in message(folder, num_classes=7)


def test_no_such_folder(tmp_path):
  assert "has no base.json" in message(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["base.json", "params.npz"])
def test_a_missing_file(folder, name):
  (folder / name).unlink()
  assert f"has no {name}" in message(folder)


def test_a_damaged_byte(folder):
  path = folder / "params.npz"
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)
  assert "params.npz: damaged" in message(folder)


@pytest.mark.parametrize("lacking", ["options", "image_shape", "sha256"])
def test_damaged_facts(folder, lacking):
  path = folder / "base.json"
  content = json.loads(path.read_text())
  del content[lacking]
  path.write_text(json.dumps(content))
  assert "base.json: damaged" in message(folder)
  path.write_text(path.read_text()[:-9])
  assert "base.json: damaged" in message(folder)


def test_a_folder_that_cannot_be_written(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="cannot be written"):
    save(tmp_path / "file" / "base", made())
