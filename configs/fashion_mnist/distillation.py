"""Fashion-MNIST, distillation: ten synthetic images of each class.

The whole data set, 32 ResNet-18 and the settings published for CIFAR-10 at ten
images of a class (see that config for the sources), for a GPU:

    syndata-audit --config=configs/fashion_mnist/distillation.py:mtt \
      --workdir=runs/fashion_mtt

5,000 images, 12 small ConvNets and a distillation of minutes, for CPU cores:

    syndata-audit --config=configs/fashion_mnist/distillation.py:mtt,cpu \
      --workdir=runs/fashion_mtt_cpu

The methods are `dm`, `dc`, `dsa`, `mtt`, `tesla` and `datm`; dm is the default.
On `cpu` TESLA and DATM can take MTT's experts:
`--config.experts=DIR_OF_MTT/synthetic/experts`.
Expected numbers and cost of `cpu`: the README beside this file. `gpu`: not run.
"""

from syndata_jax.programs.settings import defaults

_TRAJECTORIES = {
  "iterations": 5000,
  "image_learning_rate": 1000.0,
  "inner_steps": 30,
  "target_epochs": 2,
  "max_start": 15,
  "learning_rate_start": 0.01,
}
_GRADIENTS = {
  "iterations": 1000,
  "image_learning_rate": 0.1,
  "outer_steps": 10,
  "inner_epochs": 50,
}
_LARGE = {
  "dm": {"iterations": 20_000, "image_learning_rate": 1.0},
  "dc": _GRADIENTS | {"augment_final": False},
  "dsa": _GRADIENTS,
  "mtt": _TRAJECTORIES,
  "tesla": _TRAJECTORIES | {"iterations": 10_000},
  "datm": _TRAJECTORIES
  | {
    "iterations": 10_000,
    "image_learning_rate": 100.0,
    "expert_epochs": 100,
    "sharpness": 0.01,
    "label_learning_rate": 2.0,
    "inner_steps": 80,
    "max_start": 20,
    "early_start": 10,
    "expansion_end": 1000,
    "threshold": 1.0,
  },
}
_FEW_TRAJECTORIES = {
  "iterations": 40,
  "image_learning_rate": 100.0,
  "num_experts": 2,
  "expert_epochs": 12,
  "expert_learning_rate": 0.05,
  "inner_steps": 10,
  "target_epochs": 1,
  "max_start": 8,
  "learning_rate_start": 0.06,
}
_FEW_GRADIENTS = {
  "iterations": 10,
  "image_learning_rate": 1.0,
  "outer_steps": 10,
  "inner_epochs": 10,
}
_SMALL = {
  "dm": {"iterations": 200, "image_learning_rate": 10.0},
  "dc": _FEW_GRADIENTS,
  "dsa": _FEW_GRADIENTS,
  "mtt": _FEW_TRAJECTORIES,
  "tesla": _FEW_TRAJECTORIES,
  "datm": _FEW_TRAJECTORIES
  | {
    "early_start": 4,
    "expansion_end": 20,
    "label_learning_rate": 2.0,
    "threshold": 1.0,
  },
}


def get_config(argument="dm,gpu"):
  """The audit of a method on a size of hardware, METHOD or METHOD,HARDWARE."""
  method, _, hardware = argument.partition(",")
  hardware = hardware or "gpu"
  if method not in _LARGE or hardware not in ("cpu", "gpu"):
    raise ValueError(
      f"config argument {argument!r}: must be one of {', '.join(_LARGE)}, alone"
      " or with ,cpu or ,gpu"
    )
  config = defaults("distillation")
  config.dataset = "fashion_mnist"
  config.method = method
  config.images_per_class = 10
  for name, value in (_LARGE if hardware == "gpu" else _SMALL)[method].items():
    config[name] = value
  config.num_average = 500
  config.num_epochs = 1000
  config.learning_rate = 0.01
  config.warmup_epochs = 0.0
  config.performance.checkpoint_every = 100
  if hardware == "gpu":
    return config
  config.num_train = 5000
  config.num_models = 12
  config.num_canaries = 200
  config.num_average = 200
  config.real_batch = 64
  config.distill_model_options = {"width": 32}
  config.model = "convnet"
  config.model_options = {"width": 32}
  config.num_epochs = 200
  config.batch_size = 64
  config.learning_rate = 0.05
  config.schedule = "cosine"
  config.augment = False
  config.performance.checkpoint_every = 20
  return config
