"""The pipeline in a local folder; nothing is downloaded, nothing unpickled."""

import hashlib
import importlib.util
import pathlib
from typing import Any

import jax.numpy as jnp

from syndata_jax import files
from syndata_jax.errors import UserError
from syndata_jax.paradigms.stable_diffusion.options import SCHEDULERS, Options

PACKAGES = ("diffusers", "peft", "safetensors", "torch", "transformers")
# As `save_pretrained` writes them; one of several patterns is enough.
_FILES = (
  ("model_index.json",),
  ("scheduler/scheduler_config.json",),
  ("text_encoder/config.json",),
  ("text_encoder/*.safetensors",),
  ("tokenizer/vocab.json", "tokenizer/tokenizer.json"),
  ("unet/config.json",),
  ("unet/*.safetensors",),
  ("vae/config.json",),
  ("vae/*.safetensors",),
)
_PREDICTIONS = ("epsilon", "v_prediction")  # noise, or noise and image mixed
_PIPELINES = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline")


def check(weights: str) -> pathlib.Path:
  """The folder, with every file that the pipeline needs.

  Raises:
    UserError: no folder is named, a file is missing, it is another kind of
      pipeline, or diffusers is not installed.
  """
  needed = ", ".join(patterns[0] for patterns in _FILES)
  what = f"a folder of Stable Diffusion with {needed}"
  if not weights:
    raise UserError(f"weights='': must be {what}")
  folder = pathlib.Path(weights).expanduser()
  if not folder.is_dir():
    raise UserError(f"weights={weights!r}: no such folder: must be {what}")
  missing = [
    patterns[0]
    for patterns in _FILES
    if not any(any(folder.glob(pattern)) for pattern in patterns)
  ]
  if missing:
    raise UserError(
      f"weights={weights!r}: has no {', '.join(missing)}: must be {what}"
    )
  index = files.read_json(folder / "model_index.json")
  kind = index.get("_class_name") if isinstance(index, dict) else None
  if kind not in _PIPELINES:
    raise UserError(
      f"weights={weights!r}: holds a {kind}: must be a {_PIPELINES[0]}"
    )
  absent = [p for p in PACKAGES if importlib.util.find_spec(p) is None]
  if absent:
    raise UserError(
      f"paradigm='stable_diffusion': {', '.join(absent)} not installed: must"
      " be, by pip install 'syndata_jax[stable-diffusion]'"
    )
  return folder


def digest(folder: pathlib.Path) -> str:
  """Of the configs, and of the sizes of the weights: which model this is."""
  whole = hashlib.sha256()
  for path in sorted(folder.rglob("*")):
    if path.suffix in (".json", ".safetensors", ".txt"):
      size = path.stat().st_size
      whole.update(f"{path.relative_to(folder)} {size} ".encode())
      if path.suffix == ".json":
        whole.update(path.read_bytes())
  return whole.hexdigest()


def load(options: Options, dtype: jnp.dtype) -> Any:
  """The pipeline for text-to-image, without its safety checker.

  Args:
    options: the folder, and the scheduler of the sampling.
    dtype: of the frozen weights and of the computation.

  Returns:
    A `diffusers.StableDiffusionPipeline`, on the GPU where there is one.

  Raises:
    UserError: see `check`; or the weights are damaged.
  """
  folder = check(options.weights)
  import diffusers
  import torch
  import transformers

  device = "cuda" if torch.cuda.is_available() else "cpu"
  # A run has its own progress bars.
  diffusers.utils.logging.disable_progress_bar()
  transformers.utils.logging.disable_progress_bar()
  try:
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(
      str(folder),
      local_files_only=True,
      use_safetensors=True,
      # It blackens images, and is no part of what is released.
      safety_checker=None,
      requires_safety_checker=False,
      feature_extractor=None,
    )
    kind = getattr(diffusers, SCHEDULERS[options.scheduler])
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config)
  # Damaged configs and weights raise nearly anything.
  except Exception as error:
    reason = str(error).strip().split("\n")[0]
    raise UserError(
      f"weights={options.weights!r}: does not load"
      f" ({type(error).__name__}: {reason})"
    ) from error
  kind = pipeline.scheduler.config.prediction_type
  if kind not in _PREDICTIONS:
    raise UserError(
      f"weights={options.weights!r}: its UNet predicts {kind!r}: must predict"
      f" {' or '.join(_PREDICTIONS)}"
    )
  pipeline.set_progress_bar_config(disable=True)
  for part in (pipeline.vae, pipeline.text_encoder, pipeline.unet):
    part.requires_grad_(False).eval()
  return pipeline.to(device, getattr(torch, dtype.name))


def resolution(pipeline: Any) -> int:
  """Pixels of a side of the images that the UNet was trained on."""
  return int(pipeline.unet.config.sample_size * pipeline.vae_scale_factor)
