"""digits, undefended: the main job, in about a minute on two CPU cores.

    syndata-audit --config=configs/digits/undefended.py --workdir=runs/digits

1,797 real 8x8 scans that come with scikit-learn; no download. Expected on a
CPU: TPR at 0.1% FPR 99.5% on the canaries (1% FPR: 99.9%), 1.9% in the average
case, chance of dummy canaries; test accuracy 97.1%, spread 0.9%.
"""

from syndata_jax.programs.settings import defaults


def get_config():
  """32 ConvNets of width 32 that memorise every mislabelled canary."""
  config = defaults()
  config.dataset = "digits"
  config.num_canaries = 200
  config.num_average = 200
  config.model = "convnet"
  config.model_options = {"width": 32}
  config.num_epochs = 30
  config.batch_size = 32
  config.learning_rate = 0.1
  config.schedule = "cosine"
  config.augment = False
  return config
