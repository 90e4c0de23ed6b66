"""The baseline: columns drawn independently from noisy histograms.

One Gaussian release for each column. Each record has one vote in each
histogram, so all of them together cost what as many votes of Private Evolution
do. What one column says of another is lost; with `by_label` what the label says
of each column is kept, at no further cost, for the classes share no record.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from syndata_jax import keys, validate
from syndata_jax.evolution.tables import rules
from syndata_jax.evolution.tables.columns import Numeric
from syndata_jax.evolution.tables.rows import Array, Rows, Table, snapped
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
  sizes = [_num_bins(column, bins) for column in schema.numbers]
  sizes += [len(column.values) for column in schema.categories]
  num_classes = len(schema.classes)
  of_classes, of_columns, others = jax.random.split(
    keys.stream(key, "marginals"), 3
  )
  noisy = _noisy_histograms(
    _places(table.rows, schema, sizes),
    jnp.asarray(table.labels),
    of_columns,
    noise_multiplier,
    tuple(sizes),
    num_classes,
    by_label,
  )
  labels = _draw(of_classes, noisy[-1], jnp.zeros(num_samples, jnp.int32))
  drawn = []
  for place, histogram in enumerate(noisy[:-1]):
    of_column = jax.random.fold_in(others, place)
    drawn.append(_draw(of_column, histogram, labels if by_label else 0 * labels))
  width = len(schema.numbers)
  floats = [
    _within_bin(jax.random.fold_in(of_columns, place), column, code, size)
    for place, (column, code, size) in enumerate(
      zip(schema.numbers, drawn, sizes, strict=False)
    )
  ]
  rows = Rows(
    _side_by_side(floats, num_samples, jnp.float32),
    _side_by_side(drawn[width:], num_samples, jnp.int32),
  )
  valid = rules.project(schema.rules)
  return Marginals(Table(valid(snapped(schema, rows)), labels), ledger)


def _num_bins(column: Numeric, bins: int) -> int:
  if column.is_integer and column.steps < bins:
    return int(column.steps) + 1
  return bins


def _places(
  rows: Rows, schema: Schema, sizes: Sequence[int]
) -> tuple[jax.Array, ...]:
  """The bin of every row, i32[B] for each column."""
  floats = jnp.asarray(rows.floats)
  places = []
  for place, (column, size) in enumerate(
    zip(schema.numbers, sizes, strict=False)
  ):
    units = floats[:, place]
    if _is_exact(column, size):
      code = jnp.round(column.offset(units, jnp))
    else:
      code = jnp.floor(units * size)
    places.append(jnp.clip(code, 0, size - 1).astype(jnp.int32))
  categories = jnp.asarray(rows.categories)
  return (*places, *categories.T)


def _within_bin(
  key: jax.Array, column: Numeric, codes: jax.Array, size: int
) -> jax.Array:
  """Units anywhere in their bins, f32[B]."""
  if _is_exact(column, size):
    return column.units(column.minimum + codes, jnp)
  return (codes + jax.random.uniform(key, codes.shape)) / size


def _is_exact(column: Numeric, size: int) -> bool:
  """Whether every number of a column has a bin of its own."""
  return column.is_integer and column.steps + 1 == size


def _noisy_histograms(
  places: tuple[jax.Array, ...],
  labels: jax.Array,
  key: jax.Array,
  stddev: float,
  sizes: tuple[int, ...],
  num_classes: int,
  by_label: bool,
) -> list[jax.Array]:
  """f32[classes, bins] of each column, and f32[1, K] of the label, last.

  Args:
    places: i32[B], the bins of each column's values.
    labels: i32[B].
    key: of the noise.
    stddev: of the noise on each bin.
    sizes: bins of each column.
    num_classes: K.
    by_label: whether the columns have a histogram for each class.
  """
  noise = keys.stream(key, "noise")

  # Compiled as one: clean counts never leave it.
  @jax.jit
  def run(places: tuple[jax.Array, ...], labels: jax.Array) -> list[jax.Array]:
    nobody = jnp.zeros_like(labels)
    rows = labels if by_label else nobody
    height = num_classes if by_label else 1
    noisy = []
    for place, (codes, row, shape) in enumerate(
      [
        *(
          (codes, rows, (height, size))
          for codes, size in zip(places, sizes, strict=True)
        ),
        (labels, nobody, (1, num_classes)),
      ]
    ):
      counts = jnp.zeros(shape).at[row, codes].add(1.0)
      draw = jax.random.normal(jax.random.fold_in(noise, place), shape)
      noisy.append(counts + stddev * draw)
    return noisy

  return run(places, labels)


def _draw(key: jax.Array, noisy: jax.Array, rows: jax.Array) -> jax.Array:
  """Bins drawn by their noisy counts, i32[B].

  Args:
    key: of the draw.
    noisy: f32[R, bins]; those below 0 count as 0, and if all are, as equal.
    rows: i32[B], the histogram of each draw.
  """
  kept = jnp.maximum(noisy, 0.0)
  empty = kept.sum(axis=1, keepdims=True) == 0
  logits = jnp.log(jnp.where(empty, 1.0, kept))
  return jax.random.categorical(key, logits[rows]).astype(jnp.int32)


def _side_by_side(
  columns: Sequence[Array], size: int, dtype: jax.typing.DTypeLike
) -> jax.Array:
  if not columns:
    return jnp.zeros((size, 0), dtype)
  return jnp.stack(columns, axis=1).astype(dtype)
