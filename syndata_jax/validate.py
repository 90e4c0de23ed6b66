"""Checks of settings, each with one clear line: `name=value: must be ...`.

Values are keyword arguments, so that the message names itself:

    validate.positive(batch_size=batch_size, learning_rate=learning_rate)

A number that is NaN or infinite passes none of them. After the idea of
jax_privacy's `_validate` (Google DeepMind, 2025).
"""

import math
import numbers
import operator
from collections.abc import Callable, Iterable
from typing import Any, Literal

from syndata_jax.errors import UserError

Ends = Literal["[]", "[)", "(]", "()"]


def positive(**fields: float) -> None:
  """Raises UserError unless every value is above 0."""
  for name, value in fields.items():
    _require(_number(name, value) > 0, name, value, "be greater than 0")


def not_negative(**fields: float) -> None:
  """Raises UserError unless every value is 0 or above."""
  for name, value in fields.items():
    _require(_number(name, value) >= 0, name, value, "not be negative")


def at_least(least: float, /, **fields: float) -> None:
  """Raises UserError unless every value is `least` or above."""
  for name, value in fields.items():
    _require(_number(name, value) >= least, name, value, f"be at least {least}")


def whole(least: int, /, **fields: int) -> None:
  """Raises UserError unless every value is an integer, `least` or above."""
  for name, value in fields.items():
    number = _number(name, value)
    is_whole = isinstance(number, numbers.Integral)
    holds = is_whole and float(number) >= least
    _require(holds, name, value, f"be a whole number of at least {least}")


def within(
  low: float, high: float, ends: Ends = "[]", /, **fields: float
) -> None:
  """Raises UserError unless every value lies between two numbers.

  Args:
    low: the lower end.
    high: the upper end.
    ends: a square bracket where the end itself is allowed, a round one where
      it is not, as in the message.
    **fields: the values by name.
  """
  above: Callable[[Any, Any], bool] = (
    operator.ge if ends[0] == "[" else operator.gt
  )
  below: Callable[[Any, Any], bool] = (
    operator.le if ends[1] == "]" else operator.lt
  )
  allowed = f"be in {ends[0]}{low}, {high}{ends[1]}"
  for name, value in fields.items():
    number = _number(name, value)
    inside = above(number, low) and below(number, high)
    _require(inside, name, value, allowed)


def one_of(allowed: Iterable[str], /, **fields: str) -> None:
  """Raises UserError unless every value is among those allowed."""
  allowed = tuple(allowed)
  for name, value in fields.items():
    known = ", ".join(allowed)
    _require(value in allowed, name, value, f"be one of {known}")


def _number(name: str, value: Any) -> Any:
  """The value, if it is a finite number."""
  is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
  _require(is_number, name, value, "be a number")
  _require(math.isfinite(value), name, value, "be finite")
  return value


def _require(holds: bool, name: str, value: Any, rule: str) -> None:
  if not holds:
    text = repr(value) if isinstance(value, str) else str(value)
    raise UserError(f"{name}={text}: must {rule}")
