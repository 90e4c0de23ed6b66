"""Random rows and variations of rows, without any model.

After Tab-PE (Tabular Private Evolution, arXiv 2606.08259): rows begin uniform
in the declared domain and walk through it at random; the votes lead them.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from syndata_jax.evolution.api import Api
from syndata_jax.evolution.tables import rules
from syndata_jax.evolution.tables.rows import Rows, snapped
from syndata_jax.evolution.tables.schema import Schema


class TableApi(Api):
  """The domain's own API: pure functions of key and arrays.

  Attributes:
    schema: the public domain.
    valid: restores validity after mutation, `(Rows) -> Rows`, traceable.
  """

  traceable = True

  def __init__(
    self, schema: Schema, valid: Callable[[Rows], Rows] | None = None
  ) -> None:
    """Takes a domain.

    Args:
      schema: of the table.
      valid: in the place of the schema's rules; must be idempotent and, on
        rows with whole integers, leave them whole.
    """
    self.schema = schema
    self.valid = valid or rules.project(schema.rules)
    self.public = (
      "the domain of the table: its columns, bounds, categories and rules",
    )

  def random(self, key: jax.Array, labels: jax.Array) -> Rows:
    """Uniform along each column's scale, whatever the label."""
    floats, categories = jax.random.split(key)
    size, width = labels.shape[0], len(self.schema.numbers)
    return self.valid(
      Rows(
        jax.random.uniform(floats, (size, width)),
        self._categories(categories, size),
      )
    )

  def variation(
    self,
    key: jax.Array,
    samples: Rows,
    labels: jax.Array,
    degree: jax.Array | float,
  ) -> Rows:
    """Moves each column on its own.

    Args:
      key: of the draws.
      samples: B rows.
      labels: i32[B], not read.
      degree: in [0, 1]: the probability that a category is drawn anew, and
        how far a number moves at most, of its column's range.
    """
    moves, redraws, categories = jax.random.split(key, 3)
    floats = samples.floats
    steps = jax.random.uniform(moves, floats.shape, minval=-1.0)
    shape = samples.categories.shape
    is_redrawn = jax.random.uniform(redraws, shape) < degree
    drawn = self._categories(categories, shape[0])
    return self.valid(
      Rows(
        jnp.clip(floats + degree * steps, 0.0, 1.0),
        jnp.where(is_redrawn, drawn, samples.categories),
      )
    )

  def render(self, samples: Rows) -> Rows:
    """Rows as they are released: integers whole, rules obeyed."""
    samples = jax.tree.map(jnp.asarray, samples)
    return self.valid(snapped(self.schema, samples))

  def _categories(self, key: jax.Array, size: int) -> jax.Array:
    """i32[size,C], each uniform among its column's values."""
    counts = [len(column.values) for column in self.schema.categories]
    return jax.random.randint(
      key, (size, len(counts)), 0, jnp.array(counts, jnp.int32)
    )
