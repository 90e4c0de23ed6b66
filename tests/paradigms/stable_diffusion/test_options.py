"""What is refused before anything is loaded; diffusers need not be there."""

import json
import pathlib
import runpy

import pytest
import small

from syndata_jax import paradigms
from syndata_jax.diffusion import pipeline
from syndata_jax.errors import UserError
from syndata_jax.paradigms.stable_diffusion import Options
from syndata_jax.programs.settings import from_config

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
    ({"sampling": "video"}, "sampling='video': must be one of image, noise"),
    ({"scheduler": "pndm"}, "scheduler='pndm': must be one of ddim"),
    ({"prompt": "a photo"}, "prompt='a photo': must have one {}"),
    ({"guidance": 0.5}, "guidance=0.5: must be at least 1"),
    ({"rank": 0}, "rank=0"),
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
  line = refusal(pipeline.check, str(tmp_path)).split(": must be")[0]
  kept = missing.replace("model.safetensors", "*.safetensors")
  kept = kept.replace("diffusion_pytorch_*", "*")
  assert kept in line and line.count(",") == 0


def test_another_pipeline(tmp_path):
  for name in FILES:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("{}")
  index = {"_class_name": "StableDiffusionXLPipeline"}
  (tmp_path / "model_index.json").write_text(json.dumps(index))
  line = refusal(pipeline.check, str(tmp_path))
  assert "holds a StableDiffusionXLPipeline: must be a Stable" in line


@pytest.mark.parametrize("sampling", ["noise", "image"])
def test_the_shipped_config_is_allowed(sampling):
  path = pathlib.Path(__file__).parents[3] / "configs/cifar10"
  module = runpy.run_path(str(path / "stable_diffusion.py"))
  settings = from_config(module["get_config"](sampling))
  assert settings.options.sampling == sampling
  assert settings.options.prompts(10)[9] == "a photo of a truck"
