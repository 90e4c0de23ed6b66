"""Fashion-MNIST, coreset: the 40% that each model forgets most.

The whole data set with the paper's recipe, for a GPU:

    syndata-audit --config=configs/fashion_mnist/coreset.py \
      --workdir=runs/fashion_coreset

10,000 images and small ConvNets, for CPU cores:

    syndata-audit --config=configs/fashion_mnist/coreset.py:cpu \
      --workdir=runs/fashion_coreset_cpu

`--config.method=random` (or any other of `coreset.METHODS`) chooses another
way to select. Expected of `cpu`: TPR at 0.1% FPR 5.3%, at 1% 33%; test accuracy
86.2%; 17 minutes of two cores. On a GPU: not run.
"""

from syndata_jax.programs.settings import defaults


def get_config(hardware="gpu"):
  """All 60,000 images and 32 ResNet-18 ("gpu"), or a size for CPUs ("cpu")."""
  config = defaults("coreset")
  config.dataset = "fashion_mnist"
  config.method = "forgetting"
  config.fraction = 0.4
  config.num_average = 500
  if hardware == "gpu":
    config.performance.precision = "bfloat16"
    return config
  if hardware != "cpu":
    raise ValueError(f"config argument {hardware!r}: must be gpu or cpu")
  config.selection_epochs = 10
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
