"""From a table and its schema to all that an evolution needs."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from syndata_jax import files, validate
from syndata_jax.errors import UserError
from syndata_jax.evolution.tables import schema as schemas
from syndata_jax.evolution.tables import table_file
from syndata_jax.evolution.tables.api import TableApi
from syndata_jax.evolution.tables.embedding import (
  CATEGORY_WEIGHT,
  table_embedding,
)
from syndata_jax.evolution.tables.rows import Table
from syndata_jax.evolution.task import Task

FILE = "table.csv"


@dataclasses.dataclass(frozen=True)
class TableOptions:
  """Settings of a table.

  Attributes:
    schema: file of the public domain, see `schema.py`.
    category_weight: of a category beside a number in distances.
  """

  schema: str = ""
  category_weight: float = CATEGORY_WEIGHT

  def __post_init__(self) -> None:
    validate.positive(category_weight=self.category_weight)


def load(path: files.Path, options: TableOptions) -> Task:
  """Reads a private table.

  Args:
    path: of comma-separated values.
    options: settings.

  Raises:
    UserError: no schema, or one of the files is refused.
  """
  if not options.schema:
    raise UserError("schema='': must be the file of the table's public domain")
  schema = schemas.load(pathlib.Path(options.schema).expanduser())
  table = table_file.read(path, schema)

  def write(folder: pathlib.Path, rendered: Any, labels: np.ndarray) -> Any:
    file = folder / FILE
    table_file.write(file, Table(rendered, labels), schema)
    return file

  return Task(
    records=table.rows,
    labels=np.asarray(table.labels),
    classes=schema.classes,
    api=TableApi(schema),
    embedding=table_embedding(schema, options.category_weight),
    write=write,
  )
