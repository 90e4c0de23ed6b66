"""Rows of a table as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp

if TYPE_CHECKING:
  from syndata_jax.evolution.tables.schema import Schema

# Of JAX where rows evolve, of NumPy where they are read and written.
Array = Any


class Rows(NamedTuple):
  """B rows: the samples of the tabular API; the label stands beside them.

  Attributes:
    floats: f32[B,F], numbers in units of their columns, 0 at the declared
      minimum and 1 at the maximum.
    categories: i32[B,C], places among the declared values.
  """

  floats: Array
  categories: Array


class Table(NamedTuple):
  """Rows and their labels.

  Attributes:
    rows: B of them.
    labels: i32[B], places among the values of the label; zeros without one.
  """

  rows: Rows
  labels: Array


def snapped(schema: Schema, rows: Rows) -> Rows:
  """Rows whose integers are whole; traceable.

  While they evolve, integers lie anywhere between: a small step would
  otherwise never leave a number of a short range.

  Args:
    schema: of the table.
    rows: B of them.
  """
  columns = []
  for place, column in enumerate(schema.numbers):
    units = rows.floats[:, place]
    if column.is_integer:
      whole = jnp.round(column.offset(units, jnp))
      units = (
        whole / column.steps
        if column.scale == "linear"
        else column.units(column.minimum + whole, jnp)
      )
    columns.append(jnp.clip(units, 0.0, 1.0))
  floats = jnp.stack(columns, axis=1) if columns else rows.floats
  return rows._replace(floats=floats.astype(jnp.float32))
