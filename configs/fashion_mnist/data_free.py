"""Fashion-MNIST, data-free distillation: students that see no private image.

The whole data set, 32 ResNet-18 and the recipe published for CIFAR-10 (see that
config for the source), for a GPU:

    syndata-audit --config=configs/fashion_mnist/data_free.py \
      --workdir=runs/fashion_dfkd

10,000 images and small ConvNets, for CPU cores:

    syndata-audit --config=configs/fashion_mnist/data_free.py:fast,cpu \
      --workdir=runs/fashion_dfkd_cpu

The methods are `fast` and `deep_inversion`; fast is the default. Expected
numbers and cost: not run.
"""

from syndata_jax.programs.settings import defaults

_LARGE: dict[str, dict] = {
  "fast": {"iterations": 2},
  "deep_inversion": {
    "iterations": 1000,
    "statistics_weight": 10.0,
    "one_hot_weight": 1.0,
  },
}
_SMALL: dict[str, dict] = {
  "fast": {"iterations": 10, "generator_width": 16},
  "deep_inversion": {
    "iterations": 60,
    "statistics_weight": 10.0,
    "one_hot_weight": 1.0,
  },
}


def get_config(argument="fast,gpu"):
  """The audit of a method on a size of hardware, METHOD or METHOD,HARDWARE."""
  method, _, hardware = argument.partition(",")
  hardware = hardware or "gpu"
  if method not in _LARGE or hardware not in ("cpu", "gpu"):
    raise ValueError(
      f"config argument {argument!r}: must be one of {', '.join(_LARGE)}, alone"
      " or with ,cpu or ,gpu"
    )
  config = defaults("data_free")
  config.dataset = "fashion_mnist"
  config.method = method
  for name, value in (_LARGE if hardware == "gpu" else _SMALL)[method].items():
    config[name] = value
  if hardware == "gpu":
    config.num_average = 500
    config.teacher_epochs = 200
    config.num_epochs = 220
    config.performance.precision = "bfloat16"
    return config
  config.num_train = 10_000
  config.num_models = 16
  config.num_canaries = 200
  config.num_average = 200
  config.model = "convnet"
  config.model_options = {"width": 32, "norm": "batch"}
  config.augment = False
  config.schedule = "cosine"
  config.teacher_epochs = 12
  config.batch_size = 64
  config.num_epochs = 30
  config.cosine_epochs = 30
  config.synthetic_batch = 64
  config.warmup_rounds = 10
  config.passes = 3
  config.temperature = 4.0
  config.performance.checkpoint_every = 5
  return config
