"""Private Evolution of tables: declared domains, mutation, marginals."""

from syndata_jax.evolution.tables.api import TableApi
from syndata_jax.evolution.tables.embedding import table_embedding
from syndata_jax.evolution.tables.marginals import marginals, num_releases
from syndata_jax.evolution.tables.quality import (
  accuracy,
  judge,
  total_variation,
)
from syndata_jax.evolution.tables.rows import Rows, Table
from syndata_jax.evolution.tables.schema import Schema
from syndata_jax.evolution.tables.schema import load as load_schema
from syndata_jax.evolution.tables.table_file import read, write
from syndata_jax.evolution.tables.task import TableOptions, load

__all__ = [
  "Rows",
  "Schema",
  "Table",
  "TableApi",
  "TableOptions",
  "accuracy",
  "judge",
  "load",
  "load_schema",
  "marginals",
  "num_releases",
  "read",
  "table_embedding",
  "total_variation",
  "write",
]
