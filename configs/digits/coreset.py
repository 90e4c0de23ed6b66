"""digits, coreset: the 40% that each model forgets most.

    syndata-audit --config=configs/digits/coreset.py --workdir=runs/coreset

`--config.method=herding` (or any other of `coreset.METHODS`) chooses another
way to select; `--config.fraction=0 --config.images_per_class=10` another size.
Random selection cannot leak more than about its fraction. Expected: TPR at 0.1%
FPR 53% on the canaries, of which 93% are selected; test accuracy 95.2%; 48 s on
two CPU cores. The other methods: see the README beside this file.
"""

from syndata_jax.programs.settings import defaults


def get_config():
  """The ConvNets of the undefended main job, on a part of their data."""
  config = defaults("coreset")
  config.dataset = "digits"
  config.method = "forgetting"
  config.fraction = 0.4
  config.selection_epochs = 20
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
