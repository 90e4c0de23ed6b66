"""Packet headers, Private Evolution: a table with a guarantee.

    syndata-evolve --config=tables/packets --data_dir=packets.csv --out=DIR

A table of your own needs a schema, its public domain, written without a look
at the rows: `--config.schema=schema.json`. `packets.json` beside this file is
one with every kind of column, and rules that any row obeys. Without a model
samples begin anywhere in the domain; `--config.degree_decay=0.2` suits tables
of weakly related columns better.
"""

import pathlib

from syndata_jax.programs.evolving import defaults


def get_config():
  """The parents and three variations of each, ten times."""
  config = defaults("table")
  config.schema = str(pathlib.Path(__file__).with_name("packets.json"))
  config.epsilon = 1.0
  config.num_samples = 1000
  config.selection = "rank"
  config.variations = 3
  config.initial_variations = 3
  config.keep_selected = True
  config.degree_first = 0.5
  config.degree_last = 0.01
  return config
