"""How good a synthetic table is, measured on real rows.

Nothing here is private: a figure of private rows that is published, or that
chooses a setting, must be paid for. Measure on held-out or public rows.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from syndata_jax import validate
from syndata_jax.errors import UserError
from syndata_jax.evolution.tables.rows import Table
from syndata_jax.evolution.tables.schema import Schema

# More values than the trees' own bins; such a category is split like a number.
_MOST_VALUES = 255


class Quality(NamedTuple):
  """A synthetic table beside a real one.

  Attributes:
    accuracy: on the real rows, of a classifier that learned from the synthetic
      ones; NaN without a label.
    one_way: total variation distance of one column's distribution, in
      [0, 1], mean over the columns.
    two_way: of two columns' joint distribution, mean over the pairs; NaN of a
      single column.
  """

  accuracy: float
  one_way: float
  two_way: float


def judge(
  synthetic: Table, real: Table, schema: Schema, bins: int = 20, seed: int = 0
) -> Quality:
  """Compares a synthetic table with a real one.

  Args:
    synthetic: rows made up.
    real: rows that nobody has trained on.
    schema: of both.
    bins: of a column of numbers in the distributions.
    seed: of the classifier.
  """
  has_label = len(schema.classes) > 1
  return Quality(
    accuracy(synthetic, real, schema, seed) if has_label else np.nan,
    total_variation(synthetic, real, schema, 1, bins),
    total_variation(synthetic, real, schema, 2, bins),
  )


def accuracy(
  synthetic: Table, real: Table, schema: Schema, seed: int = 0
) -> float:
  """Of gradient-boosted trees, trained on synthetic rows, tested on real ones.

  scikit-learn's HistGradientBoostingClassifier as it comes. Where only one
  class is there to learn from, it is the answer to everything.

  Args:
    synthetic: to learn from.
    real: to be classified.
    schema: of both; has a label.
    seed: of the classifier.

  Raises:
    UserError: a schema without a label.
  """
  from sklearn.ensemble import HistGradientBoostingClassifier

  if len(schema.classes) < 2:
    raise UserError("label='': must name a column, to classify by")
  labels = np.asarray(synthetic.labels)
  if len(np.unique(labels)) == 1:
    return float(np.mean(np.asarray(real.labels) == labels[0]))
  is_category = [False] * len(schema.numbers)
  is_category += [
    len(column.values) <= _MOST_VALUES for column in schema.categories
  ]
  trees = HistGradientBoostingClassifier(
    categorical_features=is_category, random_state=seed
  )
  trees.fit(_features(synthetic), labels)
  return float(trees.score(_features(real), np.asarray(real.labels)))


def total_variation(
  synthetic: Table, real: Table, schema: Schema, ways: int = 1, bins: int = 20
) -> float:
  """Half the L1 distance of the tables' marginals, mean over column sets.

  Args:
    synthetic: B rows.
    real: B' rows.
    schema: of both; the label is a column too.
    ways: columns of a marginal.
    bins: of a column of numbers, evenly along its scale.

  Returns:
    In [0, 1]; NaN where there are fewer columns.
  """
  validate.whole(1, ways=ways, bins=bins)
  sizes = [bins] * len(schema.numbers)
  sizes += [len(column.values) for column in schema.categories]
  if len(schema.classes) > 1:
    sizes.append(len(schema.classes))
  there, here = (_codes(table, schema, bins) for table in (synthetic, real))
  distances = []
  for places in itertools.combinations(range(len(sizes)), ways):
    chosen = [sizes[place] for place in places]
    shares = [
      _shares([codes[place] for place in places], chosen)
      for codes in (there, here)
    ]
    distances.append(np.abs(shares[0] - shares[1]).sum() / 2)
  return float(np.mean(distances)) if distances else np.nan


def _features(table: Table) -> np.ndarray:
  """f32[B, F+C]."""
  floats, categories = (np.asarray(part) for part in table.rows)
  return np.concatenate([floats, categories.astype(np.float32)], axis=1)


def _codes(table: Table, schema: Schema, bins: int) -> list[np.ndarray]:
  """int[B] of each column, the label last if there is one."""
  floats, categories = (np.asarray(part) for part in table.rows)
  codes = [
    np.clip((column * bins).astype(int), 0, bins - 1) for column in floats.T
  ]
  codes += list(categories.T)
  if len(schema.classes) > 1:
    codes.append(np.asarray(table.labels))
  return codes


def _shares(codes: Sequence[np.ndarray], sizes: Sequence[int]) -> np.ndarray:
  """f64[product of the sizes], of the rows that have each combination."""
  flat = np.ravel_multi_index(tuple(codes), tuple(sizes))
  return np.bincount(flat, minlength=int(np.prod(sizes))) / len(flat)
