"""Fashion-MNIST, diffusion: learning from samples of a diffusion model.

The whole data set, 32 ResNet-18 and as many samples as private images, for a
GPU:

    syndata-audit --config=configs/fashion_mnist/diffusion.py \
      --workdir=runs/fashion_diffusion

5,000 images, 12 small ConvNets and a small U-Net, for CPU cores:

    syndata-audit --config=configs/fashion_mnist/diffusion.py:scratch,cpu \
      --workdir=runs/fashion_diffusion_cpu

The arguments are `scratch` (the default), `image` (from each private image,
half of the way), and `full` and `lora`, which fine-tune a model pre-trained on
public images: `--config.base=FOLDER` of `syndata-pretrain`.
Not run yet.
"""

from syndata_jax.programs.settings import defaults

_ARGUMENTS = {
  "scratch": {},
  "image": {"sampling": "image", "strength": 0.5, "images_per_class": 0},
  "full": {"method": "full"},
  "lora": {"method": "lora"},
}


def get_config(argument="scratch,gpu"):
  """The audit of one way on a size of hardware, WAY or WAY,HARDWARE."""
  way, _, hardware = argument.partition(",")
  hardware = hardware or "gpu"
  if way not in _ARGUMENTS or hardware not in ("cpu", "gpu"):
    raise ValueError(
      f"config argument {argument!r}: must be one of {', '.join(_ARGUMENTS)},"
      " alone or with ,cpu or ,gpu"
    )
  tuned = way in ("full", "lora")
  config = defaults("diffusion")
  config.dataset = "fashion_mnist"
  config.attention = (7,)
  config.guidance = 2.0
  config.num_average = 500
  if hardware == "gpu":
    config.width = 64
    config.multipliers = (1, 2, 2)
    config.blocks = 2
    config.diffusion_epochs = 50 if tuned else 200
    config.diffusion_batch = 256
    config.diffusion_ema = 0.9999
    config.images_per_class = 6000
    config.performance.precision = "bfloat16"
  else:
    config.num_train = 5000
    config.num_models = 12
    config.num_canaries = 200
    config.num_average = 200
    config.width = 16
    config.multipliers = (1, 2, 2)
    config.diffusion_epochs = 10 if tuned else 25
    config.diffusion_batch = 64
    config.diffusion_learning_rate = 0.002
    config.diffusion_ema = 0.995
    config.images_per_class = 200
    config.sampling_steps = 10
    config.sampling_batch = 100
    config.model = "convnet"
    config.model_options = {"width": 32}
    config.num_epochs = 40
    config.batch_size = 64
    config.schedule = "cosine"
    config.augment = False
    config.performance.checkpoint_every = 5
  config.update(_ARGUMENTS[way])
  return config
