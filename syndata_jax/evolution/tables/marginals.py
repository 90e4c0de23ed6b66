"""The baseline: columns drawn independently from noisy histograms.

One Gaussian release for each column. Each record has one vote in each
histogram, so all of them together cost what as many votes of Private Evolution
do. What one column says of another is lost; with `by_label` what the label says
of each column is kept, at no further cost, for the classes share no record.
"""

import math
from typing import NamedTuple

import jax
import numpy as np

from syndata_jax import keys, validate
from syndata_jax.evolution.tables.api import TableApi
from syndata_jax.evolution.tables.columns import Numeric
from syndata_jax.evolution.tables.rows import Rows, Table
from syndata_jax.evolution.tables.schema import Schema
from syndata_jax.privacy import Ledger, Release


class Marginals(NamedTuple):
  """Rows from noisy marginals, and what they have cost."""

  table: Table
  ledger: Ledger


def num_releases(schema: Schema) -> int:
  """Histograms of a table, that of the label among them."""
  return len(schema.columns)


def marginals(
  table: Table,
  schema: Schema,
  ledger: Ledger,
  key: jax.Array,
  noise_multiplier: float,
  num_samples: int,
  bins: int = 20,
  by_label: bool = False,
) -> Marginals:
  """Draws rows from one noisy histogram of each column.

      sigma = privacy.gaussian_noise_multiplier(
        epsilon, num_releases(schema), delta
      )

  Args:
    table: private rows.
    schema: their public domain.
    ledger: to which the release is added before it is drawn.
    key: of noise and rows.
    noise_multiplier: standard deviation of the noise on every bin.
    num_samples: rows to draw.
    bins: of a column of numbers, evenly along its scale; one for each number
      of an integer column that has no more.
    by_label: histograms of each class rather than of all rows.

  Raises:
    UserError: a number out of range, or a budget that does not allow it.
  """
  import dp_accounting

  validate.whole(1, num_samples=num_samples)
  validate.whole(2, bins=bins)
  validate.not_negative(noise_multiplier=noise_multiplier)
  ledger = ledger.add(
    Release(
      mechanism="Gaussian noise on the histogram of every column",
      kind="marginals",
      event=dp_accounting.GaussianDpEvent(noise_multiplier),
      details=(f"standard deviation of the noise: {noise_multiplier:.6g}",),
      count=num_releases(schema),
      replace_one_sensitivity=math.sqrt(2),
    )
  )
  noisy = noisy_histograms(table, schema, key, noise_multiplier, bins, by_label)
  generator = keys.host(keys.stream(key, "marginals.rows"))
  nobody = np.zeros(num_samples, np.int32)
  labels = draw(generator, noisy[-1], nobody)
  of_class = labels if by_label else nobody
  drawn = [draw(generator, each, of_class) for each in noisy[:-1]]
  width = len(schema.numbers)
  floats, categories = np.zeros((2, num_samples, 0))
  if width:
    floats = np.stack(
      [
        _within_bins(generator, column, codes, histogram.shape[1])
        for column, codes, histogram in zip(
          schema.numbers, drawn, noisy, strict=False
        )
      ],
      axis=1,
    )
  if drawn[width:]:
    categories = np.stack(drawn[width:], axis=1)
  rows = Rows(floats.astype(np.float32), categories.astype(np.int32))
  # Compiled as one: piece by piece it would take longer than all the rest.
  rendered = jax.jit(TableApi(schema).render)(rows)
  return Marginals(Table(rendered, labels), ledger)


def noisy_histograms(
  table: Table,
  schema: Schema,
  key: jax.Array,
  stddev: float,
  bins: int,
  by_label: bool,
) -> list[np.ndarray]:
  """One of each column, and that of the label last; noise is on every bin.

  Args:
    table: private rows.
    schema: of the table.
    key: of the noise, which has a stream of its own.
    stddev: of the noise.
    bins: of a column of numbers at most.
    by_label: whether the columns have a histogram of each class.

  Returns:
    f64[R, bins] for each column, R of K classes or of 1; f64[1, K].
  """
  generator = keys.host(keys.stream(key, "marginals.noise"))
  floats, categories = (np.asarray(part) for part in table.rows)
  columns = []
  for column, units in zip(schema.numbers, floats.T, strict=True):
    size = _num_bins(column, bins)
    columns.append((_bins_of(column, units, size), size))
  for category, codes in zip(schema.categories, categories.T, strict=True):
    columns.append((codes, len(category.values)))
  labels, num_classes = np.asarray(table.labels), len(schema.classes)
  rows, height = (labels, num_classes) if by_label else (0 * labels, 1)
  noisy = []
  for codes, size in columns:
    noisy.append(_noisy(generator, rows, codes, (height, size), stddev))
  noisy.append(_noisy(generator, 0 * labels, labels, (1, num_classes), stddev))
  return noisy


def draw(
  generator: np.random.Generator, noisy: np.ndarray, rows: np.ndarray
) -> np.ndarray:
  """Bins drawn by their noisy counts, i32[B].

  Args:
    generator: of the draws.
    noisy: f64[R, bins]; counts below 0 are 0, and if all are, equal.
    rows: i32[B], the histogram of each draw.
  """
  kept = np.maximum(noisy, 0.0)
  kept[kept.sum(axis=1) == 0] = 1.0
  ends = np.cumsum(kept, axis=1)
  ends /= ends[:, -1:]
  places = generator.random(len(rows))
  return (places[:, None] >= ends[rows]).sum(axis=1).astype(np.int32)


def _noisy(
  generator: np.random.Generator,
  rows: np.ndarray,
  codes: np.ndarray,
  shape: tuple[int, int],
  stddev: float,
) -> np.ndarray:
  flat = np.ravel_multi_index((rows, codes), shape)
  counts = np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)
  return counts + stddev * generator.standard_normal(shape)


def _num_bins(column: Numeric, bins: int) -> int:
  if column.is_integer and column.steps < bins:
    return int(column.steps) + 1
  return bins


def _bins_of(column: Numeric, units: np.ndarray, size: int) -> np.ndarray:
  """The bins of units f32[B]."""
  if _is_exact(column, size):
    codes = column.released(units) - column.minimum
  else:
    codes = np.floor(units * size)
  return np.clip(codes, 0, size - 1).astype(np.int32)


def _within_bins(
  generator: np.random.Generator, column: Numeric, codes: np.ndarray, size: int
) -> np.ndarray:
  """Units anywhere in their bins, f64[B]."""
  if _is_exact(column, size):
    return np.asarray(column.units(column.minimum + codes))
  return (codes + generator.random(len(codes))) / size


def _is_exact(column: Numeric, size: int) -> bool:
  """Whether every number of a column has a bin of its own."""
  return column.is_integer and column.steps + 1 == size
