"""CIFAR-10, data-free distillation: the recipe of Aerni et al.

    syndata-audit --config=configs/cifar10/data_free.py \
      --workdir=runs/cifar10_dfkd --data_dir=DIR_WITH_cifar-10-python.tar.gz

240 rounds of 256 images, statistics alone; 220 epochs of five passes over all
images that there are, temperature 20; the cosine ends after 200 of them and
climbs again (arXiv 2404.17399, their code). Published there, with WRN-16-4:
TPR at 0.1% FPR 72.2% on mislabelled canaries, 1.3% on clean ones; test accuracy
91.8% and 92.4%. The audited network here is the paper's ResNet-18.

The terms of Fast-Datafree (Fang et al., arXiv 2112.15278):
`--config.statistics_weight=10 --config.one_hot_weight=0.5
--config.adversarial_weight=1.33 --config.meta_learnt`; ":deep_inversion"
optimises the pixels themselves, a thousand times as long. The teachers can be
those of the undefended run, `--config.teacher=runs/cifar10`.
Expected numbers and cost: not run.
"""

from syndata_jax.programs.settings import defaults

_METHODS: dict[str, dict] = {
  "fast": {"iterations": 2, "statistics_momentum": 0.9},
  "deep_inversion": {
    "iterations": 1000,
    "pixel_learning_rate": 0.1,
    "statistics_weight": 10.0,
    "one_hot_weight": 1.0,
    "adversarial_weight": 1.0,
  },
}


def get_config(method="fast"):
  """Teachers by the recipe of the undefended row, students by Aerni et al."""
  if method not in _METHODS:
    raise ValueError(
      f"config argument {method!r}: must be one of {', '.join(_METHODS)}"
    )
  config = defaults("data_free")
  config.dataset = "cifar10"
  config.method = method
  config.num_models = 32
  config.num_canaries = 500
  config.canary_kind = "mislabelled"
  config.model = "resnet18"
  config.model_options = {"width": 64}
  config.batch_size = 256
  config.learning_rate = 0.1
  config.momentum = 0.9
  config.weight_decay = 5e-4
  config.augment = True
  # Of the teacher alone.
  config.teacher_epochs = 200
  config.schedule = "step"
  config.warmup_epochs = 1.0
  # Of the student.
  config.num_epochs = 220
  config.cosine_epochs = 200
  config.learning_rate_floor = 2e-4
  config.synthetic_batch = 256
  config.warmup_rounds = 20
  config.passes = 5
  config.temperature = 20.0
  config.performance.precision = "bfloat16"
  for name, value in _METHODS[method].items():
    config[name] = value
  return config
