"""Distances of rows with numbers and categories."""

import jax
import jax.numpy as jnp

from syndata_jax import validate
from syndata_jax.evolution.embedding import Embedding
from syndata_jax.evolution.tables.rows import Rows
from syndata_jax.evolution.tables.schema import Schema

# Two different values of a category are as far apart as two numbers are by
# 47% of their column's range. Tab-PE's choice.
CATEGORY_WEIGHT = 1 / 3


def table_embedding(
  schema: Schema, category_weight: float = CATEGORY_WEIGHT
) -> Embedding:
  """Numbers in units beside weighted one-hot categories; traceable.

  The squared distance of two rows is that of their numbers plus
  2 w^2 times the number of categories in which they differ.

  Args:
    schema: of the table.
    category_weight: w, above 0.

  Returns:
    An embedding of D = F + the number of all categories' values.

  Raises:
    UserError: a weight out of range.
  """
  validate.positive(category_weight=category_weight)
  sizes = [len(column.values) for column in schema.categories]

  def embed(rows: Rows) -> jax.Array:
    one_hot = [
      category_weight * jax.nn.one_hot(rows.categories[:, place], size)
      for place, size in enumerate(sizes)
    ]
    return jnp.concatenate([jnp.asarray(rows.floats), *one_hot], axis=1)

  return Embedding(
    name="columns",
    embed=embed,
    traceable=True,
    public="columns scaled by their declared domain",
  )
