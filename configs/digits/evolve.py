"""digits, Private Evolution: a synthetic set without training, and private.

    syndata-evolve --config=digits/evolve --out=runs/digits_evolved
    syndata-evolve --config=digits/evolve:epsilon1 --out=DIR

1,437 scans vote for characters of matplotlib's fonts, bent and turned. The
arguments are `epsilon1`, `epsilon4`, `epsilon10` (the default) and `infinity`,
without noise and without a guarantee; `--config.epsilon=2` is another one.
"""

from syndata_jax.programs.evolving import defaults

_EPSILONS = {
  "epsilon1": 1.0,
  "epsilon4": 4.0,
  "epsilon10": 10.0,
  "infinity": float("inf"),
}


def get_config(argument="epsilon10"):
  """500 glyphs, five iterations."""
  if argument not in _EPSILONS:
    raise ValueError(
      f"config argument {argument!r}: must be one of {', '.join(_EPSILONS)}"
    )
  config = defaults("images")
  config.dataset = "digits"
  config.epsilon = _EPSILONS[argument]
  config.api = "glyphs"
  config.embedding = "features"
  config.embedding_images = 2000
  config.num_samples = 500
  config.num_iterations = 5
  config.look_ahead = 4
  config.degree_first = 0.5
  config.degree_last = 0.1
  return config
