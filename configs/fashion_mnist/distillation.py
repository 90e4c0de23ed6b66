"""Fashion-MNIST, distillation: ten synthetic images of each class, by DM.

    syndata-audit --config=configs/fashion_mnist/distillation.py:cpu \
      --workdir=runs/fashion_dm

Expected numbers and cost: not run.
"""

from syndata_jax.programs.settings import defaults


def get_config(hardware="gpu"):
  """All 60,000 images and 32 ResNet-18 ("gpu"), or a size for CPUs ("cpu")."""
  if hardware not in ("cpu", "gpu"):
    raise ValueError(f"config argument {hardware!r}: must be gpu or cpu")
  config = defaults("distillation")
  config.dataset = "fashion_mnist"
  config.method = "dm"
  config.images_per_class = 10
  config.iterations = 20_000
  config.image_learning_rate = 1.0
  config.num_average = 500
  config.num_epochs = 1000
  config.learning_rate = 0.01
  config.warmup_epochs = 0.0
  config.performance.checkpoint_every = 100
  if hardware == "gpu":
    return config
  config.num_train = 10_000
  config.num_models = 16
  config.num_canaries = 200
  config.num_average = 200
  config.real_batch = 64
  config.iterations = 200
  config.image_learning_rate = 10.0
  config.distill_model_options = {"width": 32}
  config.model = "convnet"
  config.model_options = {"width": 32}
  config.num_epochs = 200
  config.batch_size = 64
  config.learning_rate = 0.05
  config.schedule = "cosine"
  config.augment = False
  return config
