"""digits, distillation: ten synthetic images of each class, by DM.

    syndata-audit --config=configs/digits/distillation.py --workdir=runs/dm

`:mtt`, `:tesla`, `:datm`, `:dc` and `:dsa` choose another method.
`--config.initialisation=noise` (or `outside`, with crops of photographs)
begins elsewhere than at private images; `--config.force_canaries` puts every
member canary that finds a place into the initialisation: the worst case.
Expected, in the order dm, dc, dsa, mtt, tesla, datm: TPR at 0.1% FPR 0.4%,
0.8%, 1.7%, 0.1%, 0.1%, 0.0%; test accuracy 97.8%, 96.6%, 96.8%, 97.4%, 96.7%,
97.1% (of random images 92.4%); one to six minutes on two CPU cores.
"""

from syndata_jax.programs.settings import defaults

_TRAJECTORIES = {
  "iterations": 100,
  "image_learning_rate": 20.0,
  "num_experts": 3,
  "expert_epochs": 40,
  # Full steps, for what a step owes to chance cannot be matched.
  "expert_learning_rate": 0.1,
  "inner_steps": 10,
  "target_epochs": 3,
  "max_start": 20,
  "learning_rate_start": 0.06,
}
_GRADIENTS = {
  "iterations": 20,
  "image_learning_rate": 0.1,
  "outer_steps": 10,
  "inner_epochs": 10,
}
_METHODS = {
  "dm": {"iterations": 200, "image_learning_rate": 30.0},
  "dc": _GRADIENTS,
  "dsa": _GRADIENTS,
  "mtt": _TRAJECTORIES,
  "tesla": _TRAJECTORIES,
  "datm": _TRAJECTORIES
  | {
    "sharpness": 0.01,
    "early_start": 8,
    "expansion_end": 50,
    "label_learning_rate": 2.0,
    "threshold": 1.0,
  },
}


def get_config(method="dm"):
  """The ConvNets of the undefended main job, on 100 images of their own."""
  if method not in _METHODS:
    raise ValueError(
      f"config argument {method!r}: must be one of {', '.join(_METHODS)}"
    )
  config = defaults("distillation")
  config.dataset = "digits"
  config.method = method
  config.images_per_class = 10
  config.real_batch = 64
  # Digits are never mirrored.
  config.augmentation = "color_crop_cutout_scale_rotate"
  # A third norm would see 2x2 pixels, where second derivatives explode.
  config.distill_model_options = {"width": 32, "depth": 2}
  config.num_canaries = 200
  config.num_average = 200
  config.model = "convnet"
  config.model_options = {"width": 32}
  config.num_epochs = 200
  config.batch_size = 32
  config.learning_rate = 0.05
  config.schedule = "cosine"
  config.augment = False
  config.performance.checkpoint_every = 50
  for name, value in _METHODS[method].items():
    config[name] = value
  return config
