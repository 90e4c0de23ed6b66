"""CIFAR-10, DP-SGD: WRN-16-4 with group norm, in the published settings.

    syndata-audit --config=configs/cifar10/dpsgd.py:SETTING --workdir=DIR \
      --data_dir=DIR_WITH_cifar-10-python.tar.gz

| SETTING | source | guarantee at delta 1e-5 |
|---|---|---|
| strict, the default | De et al., arXiv 2204.13650 | epsilon 8 |
| medium | Aerni et al., arXiv 2404.17399 | none to speak of |
| high | the same | none to speak of |
| very_high | the same | none to speak of |

`--config.epsilon=1` makes it stricter. The last three are the "high utility"
points: what counts is the leakage that the audit finds. Published for
mislabelled canaries and 64 models: TPR at 0.1% FPR 2.7% and accuracy 88.3%
(medium), 63.2% and 91.8% (very high). Here: not run.
"""

from syndata_jax.programs.settings import defaults

# expected batch, epochs, noise multiplier, learning rate
_HIGH_UTILITY = {
  "medium": (2048, 200, 0.2, 4.0),
  "high": (64, 16, 0.00625, 4.0),
  "very_high": (64, 25, 0.003125, 4.0),
}


def get_config(setting="strict"):
  """One of the settings of the table above."""
  config = defaults("dpsgd")
  config.dataset = "cifar10"
  config.model = "wide_resnet"
  config.model_options = {"depth": 16, "width": 4, "norm": "group"}
  config.delta = 1e-5
  config.clip_norm = 1.0
  config.momentum = 0.0
  config.weight_decay = 0.0
  config.schedule = "constant"
  config.warmup_epochs = 0.0
  config.performance.precision = "bfloat16"
  if setting == "strict":
    config.epsilon = 8.0
    config.batch_size = 4096
    config.num_epochs = 200
    config.learning_rate = 4.0
    config.augmentation_multiplicity = 16
  elif setting in _HIGH_UTILITY:
    batch, epochs, noise, rate = _HIGH_UTILITY[setting]
    config.batch_size = batch
    config.num_epochs = epochs
    config.noise_multiplier = noise
    config.learning_rate = rate
    config.augmentation_multiplicity = 8
  else:
    names = ", ".join(["strict", *_HIGH_UTILITY])
    raise ValueError(f"config argument {setting!r}: must be one of {names}")
  return config
