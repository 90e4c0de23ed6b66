"""digits, diffusion: learning from samples of a diffusion model.

    syndata-audit --config=configs/digits/diffusion.py --workdir=runs/diffusion

trains a model from scratch on each shadow model's private images and samples
50 images of each class from noise. The other arguments:

    syndata-audit --config=configs/digits/diffusion.py:image \
      --workdir=runs/image_to_image

begins at each private image instead and goes half of the way
(`--config.strength=0.3` a shorter one); `:full` and `:lora` fine-tune a model
that was pre-trained on public images, `--config.base=FOLDER` of
`syndata-pretrain`.

Expected: TPR at 0.1% FPR 0.3% on the canaries from noise, 0.2% from images at
strength 0.5 and 99% at 0.3, where the images alone give away all of them; test
accuracy 91%, 95% and 97%. `:full`: 0.1% and 92%. `:lora`: not run.
"""

from syndata_jax.programs.settings import defaults

_ARGUMENTS = {
  "scratch": {},
  "image": {"sampling": "image", "strength": 0.5, "images_per_class": 0},
  "full": {"method": "full", "diffusion_epochs": 10},
  "lora": {"method": "lora", "diffusion_epochs": 20},
}


def get_config(argument="scratch"):
  """The ConvNets of the undefended main job, on 500 samples of their own."""
  if argument not in _ARGUMENTS:
    raise ValueError(
      f"config argument {argument!r}: must be one of {', '.join(_ARGUMENTS)}"
    )
  config = defaults("diffusion")
  config.dataset = "digits"
  config.images_per_class = 50
  config.width = 16
  config.attention = (4,)
  config.diffusion_epochs = 30
  config.diffusion_batch = 32
  config.diffusion_learning_rate = 0.003
  config.diffusion_ema = 0.99
  config.guidance = 2.0
  config.sampling_steps = 10
  config.num_canaries = 200
  config.num_average = 200
  config.model = "convnet"
  config.model_options = {"width": 32}
  config.num_epochs = 60
  config.batch_size = 32
  config.learning_rate = 0.1
  config.schedule = "cosine"
  config.augment = False
  config.update(_ARGUMENTS[argument])
  return config
