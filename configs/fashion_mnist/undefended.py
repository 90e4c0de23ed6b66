"""Fashion-MNIST, undefended: real 28x28 images.

The whole data set with the paper's recipe, for a GPU:

    syndata-audit --config=configs/fashion_mnist/undefended.py \
      --workdir=runs/fashion_mnist

Expected numbers and cost: not run.

10,000 images and small ConvNets, for CPU cores:

    syndata-audit --config=configs/fashion_mnist/undefended.py:cpu \
      --workdir=runs/fashion_mnist_cpu

Expected: TPR at 0.1% FPR 30% on the canaries (1% FPR: 56%), chance with
dummy canaries; test accuracy 89.5%, spread 0.2%. Cost: 1.9 million
images, 6.5 minutes on two cores of an AMD EPYC.
"""

from syndata_jax.programs.settings import defaults


def get_config(hardware="gpu"):
  """All 60,000 images and 32 ResNet-18 ("gpu"), or a size for CPUs ("cpu")."""
  config = defaults()
  config.dataset = "fashion_mnist"
  config.num_average = 500
  if hardware == "gpu":
    config.performance.precision = "bfloat16"
    return config
  if hardware != "cpu":
    raise ValueError(f"config argument {hardware!r}: must be gpu or cpu")
  config.num_train = 10_000
  config.num_models = 16
  config.num_canaries = 200
  config.num_average = 200
  config.model = "convnet"
  config.model_options = {"width": 32}
  config.num_epochs = 12
  config.batch_size = 64
  config.schedule = "cosine"
  config.augment = False
  config.performance.checkpoint_every = 2
  return config
