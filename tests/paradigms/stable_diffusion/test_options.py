"""What is refused before anything is loaded; diffusers need not be there."""

import json

import numpy as np
import pytest
import small

from syndata_jax import paradigms
from syndata_jax.errors import UserError
from syndata_jax.paradigms.stable_diffusion import (
  Options,
  sampling,
  weights,
)

FILES = (
  "model_index.json",
  "scheduler/scheduler_config.json",
  "text_encoder/config.json",
  "text_encoder/model.safetensors",
  "tokenizer/vocab.json",
  "unet/config.json",
  "unet/diffusion_pytorch_model.safetensors",
  "vae/config.json",
  "vae/diffusion_pytorch_model.safetensors",
)


def private():
  return paradigms.Private(*small.training_set(2)[:3], small.CLASSES)


def refusal(function, *args, **fields):
  with pytest.raises(UserError) as caught:
    function(*args, **fields)
  assert "\n" not in str(caught.value)
  return str(caught.value)


@pytest.mark.parametrize(
  ("fields", "expected"),
  [
    ({"strength": 1.5}, "strength=1.5: must be in [0, 1]"),
    ({"strength": -0.1}, "strength=-0.1: must be in [0, 1]"),
    ({"mode": "video"}, "mode='video': must be one of image_to_image"),
    ({"scheduler": "pndm"}, "scheduler='pndm': must be one of ddim"),
    ({"prompt": "a photo"}, "prompt='a photo': must have one {}"),
    ({"guidance": 0.5}, "guidance=0.5: must be at least 1"),
    ({"lora_rank": 0}, "lora_rank=0"),
    ({"images_per_class": -1}, "images_per_class=-1"),
  ],
)
def test_a_setting_out_of_range(fields, expected):
  assert expected in refusal(Options, **fields)


def test_prompts():
  assert Options().prompts(2) == ["a photo of a 0", "a photo of a 1"]
  named = Options(class_names=("cat", "dog"), prompt="{}, a photo")
  assert named.prompts(2) == ["cat, a photo", "dog, a photo"]
  assert "class_names: has 2 names: must have 3" in refusal(named.prompts, 3)


def make(**fields):
  return paradigms.create(
    "stable_diffusion", small.engine(2), Options(**fields), private()
  )


def test_without_weights_a_line_says_what_to_give(tmp_path):
  line = refusal(make)
  assert "weights=''" in line and all(
    name.split("/")[0] in line for name in FILES
  )
  assert "no such folder" in refusal(make, weights=str(tmp_path / "nowhere"))


@pytest.mark.parametrize("missing", FILES)
def test_a_missing_file_is_named(tmp_path, missing):
  for name in FILES:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("{}")
  (tmp_path / missing).unlink()
  line = refusal(weights.check, str(tmp_path)).split(": must be")[0]
  kept = missing.replace("model.safetensors", "*.safetensors")
  kept = kept.replace("diffusion_pytorch_*", "*")
  assert kept in line and line.count(",") == 0


def test_another_pipeline(tmp_path):
  for name in FILES:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("{}")
  index = {"_class_name": "StableDiffusionXLPipeline"}
  (tmp_path / "model_index.json").write_text(json.dumps(index))
  line = refusal(weights.check, str(tmp_path))
  assert "holds a StableDiffusionXLPipeline: must be a Stable" in line


def test_a_class_without_members():
  labels = private().labels.copy()
  labels[private().members[1]] = 1
  lacking = private()._replace(labels=labels)
  options = Options(images_per_class=2)
  line = refusal(sampling.check, options, lacking)
  assert "class 0 has no members of model" in line
  sampling.check(Options(), lacking)


def test_images_come_from_rows_of_their_class():
  import jax

  data, key = private(), jax.random.key(0)
  for per_class in (3, 40):
    rows = sampling.origins(Options(images_per_class=per_class), key, data)
    assert rows.shape == (2, 3 * per_class) and rows.dtype == np.int32
    expected = np.repeat(np.arange(3), per_class)
    for model in range(2):
      assert (data.labels[rows[model]] == expected).all()
      assert np.isin(rows[model], data.members[model]).all()
      for label in range(3):
        drawn = rows[model][expected == label]
        members = data.labels[data.members[model]] == label
        assert len(set(drawn)) == min(per_class, members.sum())
  rows = sampling.origins(Options(), key, data)
  np.testing.assert_array_equal(rows, data.members)
