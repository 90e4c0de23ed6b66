"""Fashion-MNIST, Private Evolution: learning from garments voted for.

The whole data set and 32 ResNet-18, for a GPU:

    syndata-audit --config=configs/fashion_mnist/private_evolution.py \
      --workdir=runs/fashion_private_evolution

10,000 images and 16 small ConvNets, for CPU cores:

    syndata-audit --config=fashion_mnist/private_evolution:epsilon10,cpu \
      --workdir=runs/fashion_private_evolution_cpu

The first argument is `epsilon1`, `epsilon4`, `epsilon10` (the default) or
`infinity`, without noise and without a guarantee. Not run yet.
"""

from syndata_jax.programs.settings import defaults

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
  config = defaults("private_evolution")
  config.dataset = "fashion_mnist"
  config.epsilon = _EPSILONS[name]
  config.api = "garments"
  config.num_iterations = 10
  config.look_ahead = 4
  config.threshold_deviations = 1.4
  config.degree_first = 0.5
  config.degree_last = 0.05
  config.num_average = 500
  if hardware == "gpu":
    config.embedding = "features"
    config.embedding_images = 20_000
    config.num_samples = 10_000
    config.performance.precision = "bfloat16"
    return config
  config.num_train = 10_000
  config.num_models = 16
  config.num_canaries = 200
  config.num_average = 200
  config.embedding = "pixels"
  config.num_samples = 1000
  config.num_iterations = 6
  config.look_ahead = 2
  config.model = "convnet"
  config.model_options = {"width": 32}
  config.num_epochs = 12
  config.batch_size = 64
  config.schedule = "cosine"
  config.augment = False
  config.performance.checkpoint_every = 2
  return config
