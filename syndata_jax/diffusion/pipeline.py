"""Stable Diffusion of `diffusers`, from a local folder.

Nothing is downloaded, nothing unpickled.
"""

import hashlib
import importlib.util
import pathlib
from typing import Any

import jax.numpy as jnp
import numpy as np

from syndata_jax import files
from syndata_jax.errors import UserError

# The schedulers of sampling, and diffusers' name of each.
SCHEDULERS = {
  "ddim": "DDIMScheduler",
  "ddpm": "DDPMScheduler",
  "dpm_solver": "DPMSolverMultistepScheduler",
  "euler": "EulerDiscreteScheduler",
  "euler_ancestral": "EulerAncestralDiscreteScheduler",
}
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
      f"weights={weights!r}: {', '.join(absent)} not installed: must be, by"
      " pip install 'syndata_jax[stable-diffusion]'"
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


def load(weights: str, scheduler: str, dtype: jnp.dtype) -> Any:
  """The pipeline for text-to-image, without its safety checker.

  Args:
    weights: the folder.
    scheduler: of the sampling, one of `SCHEDULERS`.
    dtype: of the frozen weights and of the computation.

  Returns:
    A `diffusers.StableDiffusionPipeline`, on the GPU where there is one.

  Raises:
    UserError: see `check`; or the weights are damaged.
  """
  folder = check(weights)
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
    kind = getattr(diffusers, SCHEDULERS[scheduler])
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config)
  # Damaged configs and weights raise nearly anything.
  except Exception as error:
    reason = str(error).strip().split("\n")[0]
    raise UserError(
      f"weights={weights!r}: does not load ({type(error).__name__}: {reason})"
    ) from error
  kind = pipeline.scheduler.config.prediction_type
  if kind not in _PREDICTIONS:
    raise UserError(
      f"weights={weights!r}: its UNet predicts {kind!r}: must predict"
      f" {' or '.join(_PREDICTIONS)}"
    )
  pipeline.set_progress_bar_config(disable=True)
  for part in (pipeline.vae, pipeline.text_encoder, pipeline.unet):
    part.requires_grad_(False).eval()
  return pipeline.to(device, getattr(torch, dtype.name))


def resolution(pipeline: Any) -> int:
  """Pixels of a side of the images that the UNet was trained on."""
  return int(pipeline.unet.config.sample_size * pipeline.vae_scale_factor)


def check_prompt(prompt: str) -> None:
  """Raises UserError unless a prompt has one place for the name of a class."""
  if prompt.count("{}") != 1:
    raise UserError(
      f"prompt={prompt!r}: must have one {{}}, for the name of a class"
    )


def prompts(names: tuple[str, ...], prompt: str, num_classes: int) -> list[str]:
  """The prompt of every class.

  Args:
    names: of the classes, in the order of the labels; () for their numbers.
    prompt: of a class, with {} for its name.
    num_classes: K.

  Raises:
    UserError: see `check_prompt`; or another number of names than of classes.
  """
  check_prompt(prompt)
  names = names or tuple(map(str, range(num_classes)))
  if len(names) != num_classes:
    raise UserError(
      f"class_names: has {len(names)} names: must have {num_classes}, one for"
      " each class"
    )
  return [prompt.format(name) for name in names]


def embed(pipeline: Any, texts: list[str]) -> tuple[Any, Any]:
  """Texts as the UNet reads them: torch[K,T,D], and no text: torch[1,T,D]."""
  import torch

  with torch.no_grad():
    embedded, nothing = pipeline.encode_prompt(texts, pipeline.device, 1, True)
  return embedded, nothing[:1]


def sample(
  pipeline: Any,
  embedded: tuple[Any, Any],
  seeds: np.ndarray,
  steps: int,
  guidance: float,
  begin: np.ndarray | None = None,
  strength: float = 1.0,
) -> np.ndarray:
  """Draws images, from noise or from other images.

  Args:
    pipeline: see `load`.
    embedded: the text of each image torch[B,T,D], and no text torch[1,T,D].
    seeds: i64[B], of each image's noise.
    steps: of the whole way from noise to image.
    guidance: of the text; 1 for none.
    begin: u8[B,R,R,3] to begin at, R the pipeline's resolution; None for noise.
    strength: how far from `begin`, at least one of the steps, at most 1.

  Returns:
    u8[B,R,R,3].
  """
  import diffusers
  import torch

  side = resolution(pipeline)
  texts, nothing = embedded
  wanted: dict[str, Any] = {
    "prompt_embeds": texts,
    "negative_prompt_embeds": nothing.expand(len(seeds), -1, -1),
    "guidance_scale": guidance,
    "num_inference_steps": steps,
    # Of the CPU wherever the pipeline is: the same draws on every machine.
    "generator": [torch.Generator("cpu").manual_seed(int(s)) for s in seeds],
    "output_type": "np",
  }
  with torch.no_grad():
    if begin is None:
      images = pipeline(height=side, width=side, **wanted).images
    else:
      parts = pipeline.components
      images = diffusers.StableDiffusionImg2ImgPipeline(
        **parts, requires_safety_checker=False
      )(
        image=begin.astype(np.float32) / 255, strength=strength, **wanted
      ).images
  return np.rint(255 * np.clip(images, 0, 1)).astype(np.uint8)
