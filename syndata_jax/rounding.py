"""Bounds as a person reads them: four digits, rounded to the safe side."""

import decimal


def rounded_down(bound: float) -> str:
  """A lower bound to four digits, never more than the number itself."""
  return _rounded(bound, decimal.ROUND_FLOOR)


def rounded_up(bound: float) -> str:
  """An upper bound to four digits, never less than the number itself."""
  return _rounded(bound, decimal.ROUND_CEILING)


def _rounded(value: float, direction: str) -> str:
  # Exact, where arithmetic with floats would round once more.
  digits = decimal.Context(prec=4, rounding=direction)
  return f"{float(digits.create_decimal_from_float(value)):.4g}"
