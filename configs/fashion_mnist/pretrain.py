"""Fashion-MNIST, pre-training: a diffusion model of public 28x28 images.

    syndata-pretrain --config=fashion_mnist/pretrain --out=bases/fashion
    syndata-pretrain --config=fashion_mnist/pretrain:photographs --out=DIR
    syndata-pretrain --config=fashion_mnist/pretrain:cinic10 --data_dir=DIR \
      --out=bases/fashion

The public images are scikit-learn's digits, enlarged from 8x8: one bright thing
in the middle of black ground, as clothes are, in ten classes that the model
learns to tell apart; no download. "photographs" are crops of two photographs:
sharper, but of no class. "cinic10" is the one for real work: many grey things.
Expected time and quality: not run.
"""

from syndata_jax.programs.pretraining import defaults

_EPOCHS = {"digits": 300, "photographs": 50, "cinic10": 20}


def get_config(source="digits"):
  """Grey images of Fashion-MNIST's size."""
  if source not in _EPOCHS:
    raise ValueError(
      f"config argument {source!r}: must be one of {', '.join(_EPOCHS)}"
    )
  config = defaults()
  config.source = source
  config.image_shape = (28, 28, 1)
  config.num_classes = 10
  config.crops_per_class = 1000
  config.width = 32
  config.multipliers = (1, 2, 2)
  config.attention = (7,)
  config.diffusion_epochs = _EPOCHS[source]
  config.diffusion_batch = 128
  config.diffusion_learning_rate = 1e-3
  config.checkpoint_every = 1
  return config
