"""CIFAR-10, undefended: the baseline row of the paper, by its exact recipe.

    syndata-audit --config=configs/cifar10/undefended.py \
      --workdir=runs/cifar10 --data_dir=DIR_WITH_cifar-10-python.tar.gz

500 mislabelled canaries, 32 ResNet-18, 200 epochs of 49,750 images at batch
256: 320 million images, 1.07e18 floating-point operations. Expected numbers
and cost: not run. Published for a WRN-16-4 and 64 models (Aerni et al., arXiv
2404.17399): TPR at 0.1% FPR 100%, test accuracy 94.1%.
`--config.num_average=500` audits as many ordinary examples beside them.
"""

from syndata_jax.programs.settings import defaults


def get_config():
  """Zhao and Zhang, ICLR 2025: SGD 0.1, momentum 0.9, weight decay 5e-4."""
  config = defaults()
  config.dataset = "cifar10"
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
