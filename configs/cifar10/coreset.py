"""CIFAR-10, coreset: the paper's second row, forgetting or random.

    syndata-audit --config=configs/cifar10/coreset.py \
      --workdir=runs/cifar10_coreset --data_dir=DIR_WITH_cifar-10-python.tar.gz

`--config.method=random` for the other one. Published (Zhao and Zhang, ICLR
2025, figure 5), TPR at 0.1% FPR: forgetting 72.94%, random 38.70%. Their
fraction is not published; random selection cannot leak more than its fraction,
so it is at least 0.386, and 0.4 stands here. Selection by DeepCore's recipe:
40 epochs at a constant rate, without augmentation. Expected numbers and cost
of this configuration: not run.
"""

from syndata_jax.programs.settings import defaults


def get_config():
  """Class-balanced; final training by the recipe of the undefended row."""
  config = defaults("coreset")
  config.dataset = "cifar10"
  config.method = "forgetting"
  config.fraction = 0.4
  config.balanced = True
  config.never_learned = "max"
  config.selection_epochs = 40
  config.num_models = 32
  config.num_canaries = 500
  config.canary_kind = "mislabelled"
  config.model = "resnet18"
  config.model_options = {"width": 64}
  config.num_epochs = 200
  config.batch_size = 256
  config.learning_rate = 0.1
  config.schedule = "step"
  config.warmup_epochs = 1.0
  config.momentum = 0.9
  config.weight_decay = 5e-4
  config.augment = True
  config.performance.precision = "bfloat16"
  return config
