"""digits, pre-training: a diffusion model of public images of 8x8 pixels.

    syndata-pretrain --config=digits/pretrain --out=bases/digits
    syndata-pretrain --config=digits/pretrain:photographs --out=bases/digits

The public images are those of Fashion-MNIST, resized to 8x8: ten classes of
things on black ground, though no digits. Its files are looked for in --data_dir
and where Debian's package dataset-fashion-mnist puts them. "photographs" needs
no files: crops of scikit-learn's two photographs, whose classes say nothing.
Expected: five minutes beside other work, a loss of 0.30; photographs: not run.
"""

from syndata_jax.programs.pretraining import defaults

_EPOCHS = {"fashion_mnist": 5, "photographs": 30}


def get_config(source="fashion_mnist"):
  """Grey images of digits' size, and the network of `digits/diffusion`."""
  if source not in _EPOCHS:
    raise ValueError(
      f"config argument {source!r}: must be one of {', '.join(_EPOCHS)}"
    )
  config = defaults()
  config.source = source
  config.image_shape = (8, 8, 1)
  config.num_classes = 10
  config.crops_per_class = 1000
  config.width = 16
  config.multipliers = (1, 2)
  config.attention = (4,)
  config.diffusion_epochs = _EPOCHS[source]
  config.diffusion_batch = 128
  config.diffusion_learning_rate = 3e-3
  config.checkpoint_every = 1
  return config
