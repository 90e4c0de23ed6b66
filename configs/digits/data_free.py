"""digits, data-free distillation: students that see no private image.

    syndata-audit --config=configs/digits/data_free.py --workdir=runs/dfkd
    syndata-audit --config=configs/digits/data_free.py:deep_inversion \
      --workdir=runs/deep_inversion

The teachers can be those of an earlier run, `--config.teacher=DIR` with the
workdir of an undefended one of the same network (`norm` is "batch" here) and
recipe. The student is what is released and attacked. Rounds, passes and
temperature were chosen so that it comes near its teacher; the published ones
are in the config of CIFAR-10.

Expected of fast: TPR at 0.1% FPR 17% on the canaries (1% FPR: 38%), of the
teachers 99.7%; in the average case 0.7%, at chance with dummy canaries; test
accuracy 94.3%, of the teachers 95.1%; 14 minutes of two busy cores. Of
deep_inversion: not run.
"""

from syndata_jax.programs.settings import defaults

_METHODS: dict[str, dict] = {
  "fast": {"iterations": 20},
  "deep_inversion": {
    "iterations": 20,
    "statistics_weight": 10.0,
    "one_hot_weight": 1.0,
  },
}


def get_config(method="fast"):
  """The ConvNets of the undefended main job, with batch norm."""
  if method not in _METHODS:
    raise ValueError(
      f"config argument {method!r}: must be one of {', '.join(_METHODS)}"
    )
  config = defaults("data_free")
  config.dataset = "digits"
  config.method = method
  config.num_canaries = 200
  config.num_average = 200
  config.model = "convnet"
  config.model_options = {"width": 32, "norm": "batch"}
  config.augment = False
  config.schedule = "cosine"
  config.teacher_epochs = 30
  config.num_epochs = 40
  config.cosine_epochs = 40
  config.batch_size = 32
  config.learning_rate = 0.1
  config.synthetic_batch = 128
  config.warmup_rounds = 10
  config.passes = 1
  config.temperature = 4.0
  # A fourth of the published width, for images of a fourth of the side.
  config.generator_width = 16
  config.performance.checkpoint_every = 20
  for name, value in _METHODS[method].items():
    config[name] = value
  return config
