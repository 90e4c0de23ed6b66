"""Fashion-MNIST, DP-SGD: 32 private shadow models.

    syndata-audit --config=configs/fashion_mnist/dpsgd.py \
      --workdir=runs/fashion_mnist_dpsgd

All 60,000 images and ResNet-18 with group norm, for a GPU: not run.
"dpsgd.py:cpu" takes 10,000 images and small ConvNets, as the undefended
config does. Both solve for the noise of epsilon 8 at delta 1e-5;
`--config.epsilon=1` or 4 for stricter guarantees.

Expected of "cpu": TPR at 0.1% FPR at chance, test accuracy 84.2%, spread 0.3%;
25 minutes on two busy cores.
"""

from syndata_jax.programs.settings import defaults


def get_config(hardware="gpu"):
  """De et al., arXiv 2204.13650: large batches, many views, averaging."""
  if hardware not in ("gpu", "cpu"):
    raise ValueError(f"config argument {hardware!r}: must be gpu or cpu")
  config = defaults("dpsgd")
  config.dataset = "fashion_mnist"
  config.epsilon = 8.0
  config.delta = 1e-5
  config.momentum = 0.0
  config.weight_decay = 0.0
  config.schedule = "constant"
  config.warmup_epochs = 0.0
  if hardware == "gpu":
    config.num_average = 500
    config.model = "resnet18"
    config.model_options = {"norm": "group"}
    config.batch_size = 4096
    config.num_epochs = 50
    config.learning_rate = 2.0
    config.augmentation_multiplicity = 16
    config.performance.precision = "bfloat16"
    return config
  config.num_train = 10_000
  config.num_models = 16
  config.num_canaries = 200
  config.num_average = 200
  config.model = "convnet"
  config.model_options = {"width": 32}
  config.batch_size = 256
  config.num_epochs = 12
  config.learning_rate = 4.0
  config.augment = False
  config.augmentation_multiplicity = 1
  config.performance.checkpoint_every = 2
  return config
