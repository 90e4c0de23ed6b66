"""Rules that every released row obeys: what one column says of others.

    {"if": {"protocol": ["udp", "icmp"]}, "then": {"flags": "none"}}
    {"if": {"protocol": "tcp"}, "then": {"length": [40, 1500]}}

Each side names columns, and for each where it is: one or several values of a
category, the smallest and the largest number, or one number. Where all of "if"
hold, "then" is restored: a category outside takes the first value listed, a
number the nearest one. A side may be empty; "if": {} always holds.

Rules are applied once, in their order. What a later rule would undo of an
earlier one is refused when the schema is read, so that once is enough.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax.errors import UserError
from syndata_jax.evolution.tables.columns import Category, Column, Numeric
from syndata_jax.evolution.tables.rows import Rows


@dataclasses.dataclass(frozen=True)
class Codes:
  """Some values of a category.

  Attributes:
    place: of the column among the categories.
    codes: the values' places among those of the column, at least one.
  """

  place: int
  codes: tuple[int, ...]

  def holds(self, rows: Rows) -> jax.Array:
    """bool[B], where a row has one of the values."""
    column = rows.categories[:, self.place]
    return jnp.isin(column, jnp.array(self.codes, jnp.int32))

  def restored(self, rows: Rows, where: jax.Array) -> Rows:
    """Rows in which it holds `where` bool[B]."""
    column = rows.categories[:, self.place]
    moved = jnp.where(where & ~self.holds(rows), self.codes[0], column)
    return rows._replace(
      categories=rows.categories.at[:, self.place].set(moved)
    )

  def within(self, other: Codes) -> bool:
    """Whether the other has all of these values."""
    return set(self.codes) <= set(other.codes)

  def apart(self, other: Codes) -> bool:
    """Whether the two share no value."""
    return not set(self.codes) & set(other.codes)


@dataclasses.dataclass(frozen=True)
class Interval:
  """Numbers between two of a column's, both allowed.

  Attributes:
    place: of the column among the numbers.
    column: itself.
    low: the smallest number.
    high: the largest.
  """

  place: int
  column: Numeric
  low: float
  high: float

  def holds(self, rows: Rows) -> jax.Array:
    """bool[B], where a row's number lies between."""
    # Whole numbers are rounded on release, and by float32 before.
    slack = 0.5 if self.column.is_integer else 0.0
    units = rows.floats[:, self.place]
    low, high = self._units(slack)
    return (units >= low) & (units <= high)

  def restored(self, rows: Rows, where: jax.Array) -> Rows:
    """Rows in which it holds `where` bool[B]."""
    column = rows.floats[:, self.place]
    low, high = self._units(0.0)
    moved = jnp.where(where, jnp.clip(column, low, high), column)
    return rows._replace(floats=rows.floats.at[:, self.place].set(moved))

  def within(self, other: Interval) -> bool:
    """Whether all of it lies in the other."""
    return other.low <= self.low and self.high <= other.high

  def apart(self, other: Interval) -> bool:
    """Whether the two share no number."""
    return self.high < other.low or other.high < self.low

  def _units(self, slack: float) -> tuple[np.float32, np.float32]:
    """Both ends in units; rounded inwards, so that release stays inside."""
    column = self.column
    low = max(self.low - slack, column.minimum)
    high = min(self.high + slack, column.maximum)
    ends = [float(column.units(np.float64(end))) for end in (low, high)]
    rounded = [np.float32(end) for end in ends]
    if not column.is_integer:
      if rounded[0] < ends[0]:
        rounded[0] = np.nextafter(rounded[0], np.float32(2))
      if rounded[1] > ends[1]:
        rounded[1] = np.nextafter(rounded[1], np.float32(-1))
    return rounded[0], rounded[1]


Part = Codes | Interval


@dataclasses.dataclass(frozen=True)
class Rule:
  """Where all of `condition` hold, all of `effect` do.

  Attributes:
    condition: on one column each.
    effect: on other columns.
    text: as declared, for messages.
  """

  condition: tuple[Part, ...]
  effect: tuple[Part, ...]
  text: str

  def holds(self, rows: Rows) -> jax.Array:
    """bool[B], where the condition holds."""
    return _all(self.condition, rows)

  def obeyed(self, rows: Rows) -> jax.Array:
    """bool[B], where the condition does not hold or the effect does."""
    return ~self.holds(rows) | _all(self.effect, rows)


def project(rules: Sequence[Rule]) -> Callable[[Rows], Rows]:
  """A function that restores what the rules ask; traceable."""

  def valid(rows: Rows) -> Rows:
    for rule in rules:
      where = rule.holds(rows)
      for part in rule.effect:
        rows = part.restored(rows, where)
    return rows

  return valid


def _all(parts: Sequence[Part], rows: Rows) -> jax.Array:
  size = rows.floats.shape[0]
  holds = jnp.ones(size, bool)
  for part in parts:
    holds &= part.holds(rows)
  return holds


def parse(
  declared: Any,
  numbers: Sequence[Numeric],
  categories: Sequence[Category],
) -> tuple[Rule, ...]:
  """The rules of a schema file.

  Args:
    declared: a list as above.
    numbers: the F columns that a rule may name.
    categories: the C others.

  Raises:
    UserError: one that names another column or value, that is no rule, or
      that undoes an earlier one.
  """
  if not isinstance(declared, list):
    raise UserError(f"rules={declared!r}: a list of rules needed")
  columns: dict[str, tuple[int, Column]] = {}
  columns.update({each.name: (i, each) for i, each in enumerate(numbers)})
  columns.update({each.name: (i, each) for i, each in enumerate(categories)})
  parsed = []
  for place, fields in enumerate(declared):
    name = f"rules[{place}]"
    if not isinstance(fields, Mapping) or set(fields) != {"if", "then"}:
      raise UserError(f"{name}={fields!r}: must have 'if' and 'then'")
    parsed.append(
      Rule(
        _side(fields["if"], columns, f"{name}.if"),
        _side(fields["then"], columns, f"{name}.then"),
        text=name,
      )
    )
  _check_order(parsed)
  return tuple(parsed)


def _side(
  fields: Any, columns: Mapping[str, tuple[int, Column]], place: str
) -> tuple[Part, ...]:
  if not isinstance(fields, Mapping):
    raise UserError(f"{place}={fields!r}: an object of columns needed")
  parts = []
  for name, domain in fields.items():
    if name not in columns:
      raise UserError(
        f"{place}: column {name!r}: must be one of {', '.join(columns)} (no"
        " label)"
      )
    parts.append(_part(domain, *columns[name], f"{place}.{name}"))
  return tuple(parts)


def _part(domain: Any, index: int, column: Column, place: str) -> Part:
  listed = domain if isinstance(domain, list) else [domain]
  if isinstance(column, Category):
    words = [str(word).strip() for word in listed]
    for word in words:
      if word not in column.values:
        raise UserError(f"{place}={word!r}: must be {column.allowed}")
    if not words:
      raise UserError(f"{place}=[]: must be {column.allowed}")
    return Codes(index, tuple(column.values.index(word) for word in words))
  ends = listed * 2 if len(listed) == 1 else listed
  if len(ends) != 2 or not all(_inside(end, column) for end in ends):
    raise UserError(f"{place}={domain!r}: must be {column.allowed}, or two")
  if ends[0] > ends[1]:
    raise UserError(f"{place}={domain!r}: the smaller number must be first")
  return Interval(index, column, ends[0], ends[1])


def _inside(number: Any, column: Numeric) -> bool:
  if isinstance(number, bool) or not isinstance(number, (int, float)):
    return False
  whole = not column.is_integer or number == math.floor(number)
  return whole and column.minimum <= number <= column.maximum


def _check_order(rules: Sequence[Rule]) -> None:
  """Refuses rules of which a later one undoes what an earlier one restored."""
  for place, later in enumerate(rules):
    for earlier in rules[: place + 1]:
      for part in later.effect:
        if any(_same_column(part, other) for other in earlier.condition):
          raise UserError(
            f"{later.text}.then: changes a column on which {earlier.text}.if"
            " depends: must come before it"
          )
        if earlier is later or _exclusive(earlier, later):
          continue
        for other in earlier.effect:
          if _same_column(part, other) and not part.within(other):  # type: ignore[arg-type]
            raise UserError(
              f"{later.text}.then: would undo {earlier.text}.then: must lie"
              " within it, or hold under another condition"
            )


def _same_column(one: Part, other: Part) -> bool:
  return type(one) is type(other) and one.place == other.place


def _exclusive(one: Rule, other: Rule) -> bool:
  """Whether no row fulfils the conditions of both."""
  return any(
    _same_column(part, twin) and part.apart(twin)  # type: ignore[arg-type]
    for part in one.condition
    for twin in other.condition
  )
