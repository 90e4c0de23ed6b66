"""digits, Private Evolution: samples of a glyph renderer that were voted for.

    syndata-audit --config=configs/digits/private_evolution.py --workdir=DIR
    syndata-audit --config=digits/private_evolution:epsilon1 --workdir=DIR

Every shadow model evolves 1,000 glyphs from the votes of its own members and
learns from these alone. The arguments are `epsilon1`, `epsilon4`, `epsilon10`
(the default) and `infinity`, without noise and without a guarantee.
`syndata-evolve --config=digits/evolve` makes one such set to be released.

Expected: chance on the canaries, through models and images; test accuracy 85%
at epsilon 1 and 91% at 10; two minutes, and five for the quality of the images.
"""

from syndata_jax.programs.settings import defaults

_SETTINGS = {
  # The more noise, the fewer iterations.
  "epsilon1": {"epsilon": 1.0, "num_iterations": 4},
  "epsilon4": {"epsilon": 4.0, "num_iterations": 8},
  "epsilon10": {"epsilon": 10.0, "num_iterations": 10},
  "infinity": {"epsilon": float("inf"), "num_iterations": 10},
}


def get_config(argument="epsilon10"):
  """The ConvNets of the undefended main job, on glyphs."""
  if argument not in _SETTINGS:
    raise ValueError(
      f"config argument {argument!r}: must be one of {', '.join(_SETTINGS)}"
    )
  config = defaults("private_evolution")
  config.dataset = "digits"
  config.api = "glyphs"
  config.embedding = "pixels"
  config.num_samples = 1000
  config.look_ahead = 4
  config.threshold_deviations = 1.4
  config.degree_first = 0.5
  config.degree_last = 0.05
  config.num_canaries = 200
  config.num_average = 200
  config.model = "convnet"
  config.model_options = {"width": 32}
  config.num_epochs = 30
  config.batch_size = 32
  config.learning_rate = 0.1
  config.schedule = "cosine"
  config.augment = False
  config.update(_SETTINGS[argument])
  return config
