"""Variants of one test: some run by default, the others by request."""

from collections.abc import Sequence
from typing import Any

import pytest


def others_slow(variants: Sequence[Any], default: int = 1) -> list[Any]:
  """For `parametrize`: all but the first few are marked slow.

  What the first ones run is what a mistake most often breaks; the others
  compile other programs for it, and seldom find more.

  Args:
    variants: values, or tuples of several.
    default: how many run by default.
  """
  marked = [
    pytest.param(*(v if isinstance(v, tuple) else (v,)), marks=pytest.mark.slow)
    for v in variants[default:]
  ]
  return [*variants[:default], *marked]
