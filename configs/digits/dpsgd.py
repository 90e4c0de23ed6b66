"""digits, DP-SGD: 32 private shadow models.

    syndata-audit --config=configs/digits/dpsgd.py --workdir=runs/digits_dpsgd
    syndata-audit --config=configs/digits/dpsgd.py:high_utility --workdir=DIR

"strict" (the default) solves for the noise of epsilon 8 at delta 1e-5;
`--config.epsilon=1` for that of epsilon 1. "high_utility" has so little noise
that its guarantee says nothing, as in Aerni et al. (arXiv 2404.17399); what
counts there is the leakage that the audit finds.

With `--config.audit=one_run --config.white_box_canaries=1000` one model and
1,000 gradient canaries check the claim: all noise gives an epsilon of at least
6.2, half of it 14.6, none 56.

Expected on two CPU cores: strict, TPR at 0.1% FPR at chance, test accuracy
91.0%, spread 1.9%, 2.2 minutes; high_utility, 5%, 99.2%, spread 0.4%, 1.4
minutes.
"""

from syndata_jax.programs.settings import defaults


def get_config(setting="strict"):
  """The ConvNet of the undefended audit: instance norm mixes no examples."""
  if setting not in ("strict", "high_utility"):
    raise ValueError(
      f"config argument {setting!r}: must be strict or high_utility"
    )
  config = defaults("dpsgd")
  config.dataset = "digits"
  config.num_canaries = 200
  config.num_average = 200
  config.model = "convnet"
  config.model_options = {"width": 32}
  config.augment = False
  config.augmentation_multiplicity = 1
  config.momentum = 0.0
  config.weight_decay = 0.0
  config.schedule = "constant"
  config.warmup_epochs = 0.0
  config.clip_norm = 1.0
  config.delta = 1e-5
  if setting == "strict":
    config.batch_size = 256
    config.num_epochs = 60
    config.learning_rate = 8.0
    config.epsilon = 8.0
  else:
    config.batch_size = 64
    config.num_epochs = 30
    config.learning_rate = 2.0
    config.noise_multiplier = 0.05
  return config
