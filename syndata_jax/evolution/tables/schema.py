"""The public domain of a table, declared in a file.

    {
      "columns": [
        {"name": "age", "type": "integer", "minimum": 17, "maximum": 90},
        {"name": "gain", "type": "number", "minimum": 0, "maximum": 99999,
         "scale": "log1p"},
        {"name": "work", "type": "category", "values": ["private", "state"]},
        {"name": "income", "type": "category", "values": ["<=50K", ">50K"]}
      ],
      "label": "income",
      "ignored": ["id"],
      "rules": [
        {"if": {"work": "state"}, "then": {"age": [18, 67]}}
      ]
    }

`label` names the category that is evolved class by class; without it there is
one class. `ignored` columns of a file are not read. For `rules`, which every
released row obeys, see `rules.py`.

**The domain is public.** Bounds, categories and rules must come from a code
book, a form or common knowledge: read from private rows they would say what the
smallest age among them is. Nothing in this package reads them from rows.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from syndata_jax import files
from syndata_jax.errors import UserError, prefixed
from syndata_jax.evolution.tables import rules
from syndata_jax.evolution.tables.columns import Category, Column, Numeric
from syndata_jax.evolution.tables.rules import Rule

_KEYS = ("columns", "label", "ignored", "rules")
_FIELDS = {
  "category": ("values",),
  "integer": ("minimum", "maximum", "scale"),
  "number": ("minimum", "maximum", "scale"),
}


@dataclasses.dataclass(frozen=True)
class Schema:
  """The domain of a table.

  Attributes:
    columns: in the order in which they are released.
    label: name of the category that is the label; "" for none.
    ignored: names of columns that a file may have and that are not read.
    rules: what released rows obey beside their columns' domains.

  Raises:
    UserError: a name that is empty or stands twice, a label that is no
      category, or no column beside it.
  """

  columns: tuple[Column, ...]
  label: str = ""
  ignored: tuple[str, ...] = ()
  rules: tuple[Rule, ...] = ()

  def __post_init__(self) -> None:
    names = [*(column.name for column in self.columns), *self.ignored]
    for name in names:
      if not name or names.count(name) > 1:
        raise UserError(f"column {name!r}: must have a name of its own")
    labels = [column for column in self.columns if column.name == self.label]
    if self.label and not (labels and isinstance(labels[0], Category)):
      raise UserError(
        f"label={self.label!r}: must be the name of a column of the type"
        " category"
      )
    if not self.numbers and not self.categories:
      raise UserError("columns: at least one beside the label needed")

  @property
  def numbers(self) -> tuple[Numeric, ...]:
    """The F columns of numbers."""
    return tuple(
      column for column in self.columns if isinstance(column, Numeric)
    )

  @property
  def categories(self) -> tuple[Category, ...]:
    """The C columns of categories, the label not among them."""
    return tuple(
      column
      for column in self.columns
      if isinstance(column, Category) and column.name != self.label
    )

  @property
  def classes(self) -> tuple[str, ...]:
    """The K values of the label; one nameless class without a label."""
    for column in self.columns:
      if isinstance(column, Category) and column.name == self.label:
        return column.values
    return ("",)


def load(path: files.Path) -> Schema:
  """Reads a schema file; see above.

  Raises:
    UserError: the file cannot be read, or what it declares is no domain.
  """
  with prefixed(str(path)):
    return from_dict(_read(path))


def _read(path: files.Path) -> Any:
  try:
    return files.read_json(path)
  except UserError as error:
    # The caller names the file, and nobody should delete a schema.
    reason = str(error).removeprefix(f"{path}: ")
    raise UserError(reason.removesuffix("; delete it")) from error


def from_dict(fields: Any) -> Schema:
  """The schema that a JSON value declares.

  Raises:
    UserError: it declares no domain.
  """
  _only(fields, _KEYS, "schema")
  declared = fields.get("columns")
  if not isinstance(declared, list) or not declared:
    raise UserError("columns: a list of columns needed")
  columns = tuple(
    _column(each, f"columns[{place}]") for place, each in enumerate(declared)
  )
  ignored = fields.get("ignored", [])
  if not isinstance(ignored, list):
    raise UserError(f"ignored={ignored!r}: a list of names needed")
  schema = Schema(
    columns,
    str(fields.get("label", "") or ""),
    tuple(str(name) for name in ignored),
  )
  return dataclasses.replace(
    schema,
    rules=rules.parse(
      fields.get("rules", []), schema.numbers, schema.categories
    ),
  )


def _column(fields: Any, place: str) -> Column:
  if not isinstance(fields, Mapping) or "name" not in fields:
    raise UserError(f"{place}: must have a name")
  name = str(fields["name"]).strip()
  kind = fields.get("type")
  if kind not in _FIELDS:
    raise UserError(
      f"column {name}: type={kind!r}: must be one of {', '.join(_FIELDS)}"
    )
  _only(fields, ("name", "type", *_FIELDS[kind]), f"column {name}")
  if kind == "category":
    return Category(name, _words(fields.get("values"), name))
  return Numeric(
    name,
    fields.get("minimum"),  # type: ignore[arg-type]  # None is refused there
    fields.get("maximum"),  # type: ignore[arg-type]
    is_integer=kind == "integer",
    scale=fields.get("scale", "linear"),
  )


def _words(values: Any, name: str) -> tuple[str, ...]:
  if not isinstance(values, list):
    raise UserError(f"column {name}: values={values!r}: a list needed")
  for value in values:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
      raise UserError(
        f"column {name}: value {value!r}: must be a text or a whole number"
      )
  return tuple(str(value).strip() for value in values)


def _only(fields: Any, allowed: tuple[str, ...], place: str) -> None:
  if not isinstance(fields, Mapping):
    raise UserError(f"{place}: an object in braces needed")
  for name in fields:
    if name not in allowed:
      raise UserError(
        f"{place}: {name!r} is unknown: must be one of {', '.join(allowed)}"
      )
