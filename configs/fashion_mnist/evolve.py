"""Fashion-MNIST, Private Evolution: drawn clothes that real ones voted for.

    syndata-evolve --config=fashion_mnist/evolve --out=runs/fashion_evolved
    syndata-evolve --config=fashion_mnist/evolve:epsilon1,cpu --out=DIR

All 60,000 images vote for 10,000 garments of a simulator, in a space of
features that are learned from random garments; for a GPU. `cpu` takes 10,000
images and 1,000 garments, and compares pixels. The first argument is
`epsilon1`, `epsilon4`, `epsilon10` (the default) or `infinity`, without noise
and without a guarantee. `cpu` takes 15 to 35 seconds; its quality: not judged.
"""

from syndata_jax.programs.evolving import defaults

_EPSILONS = {
  "epsilon1": 1.0,
  "epsilon4": 4.0,
  "epsilon10": 10.0,
  "infinity": float("inf"),
}


def get_config(argument="epsilon10,gpu"):
  """A guarantee on a size of hardware, EPSILON or EPSILON,HARDWARE."""
  name, _, hardware = argument.partition(",")
  hardware = hardware or "gpu"
  if name not in _EPSILONS or hardware not in ("cpu", "gpu"):
    raise ValueError(
      f"config argument {argument!r}: must be one of {', '.join(_EPSILONS)},"
      " alone or with ,cpu or ,gpu"
    )
  config = defaults("images")
  config.dataset = "fashion_mnist"
  config.epsilon = _EPSILONS[name]
  config.api = "garments"
  config.num_iterations = 10
  config.look_ahead = 4
  config.threshold_deviations = 1.4
  config.degree_first = 0.5
  config.degree_last = 0.05
  if hardware == "gpu":
    config.embedding = "features"
    config.embedding_images = 20_000
    config.num_samples = 10_000
  else:
    config.embedding = "pixels"
    config.num_train = 10_000
    config.num_samples = 1000
    config.num_iterations = 6
    config.look_ahead = 2
  return config
