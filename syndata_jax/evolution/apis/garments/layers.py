"""What patterns are made of: layers, and outlines of half the corners."""

from collections.abc import Sequence
from typing import NamedTuple

Corner = tuple[float, float]


class Layer(NamedTuple):
  """One polygon, drawn over those before it."""

  corners: Sequence[Corner]
  brightness: float  # over that of the cloth; 0 cuts a hole


def mirrored(right: Sequence[Corner]) -> list[Corner]:
  """A symmetric outline from its right half, from top to bottom."""
  left = [(-x, y) for x, y in reversed(right) if x != 0]
  return [*right, *left]


def box(left: float, top: float, right: float, bottom: float) -> list[Corner]:
  """An upright rectangle."""
  return [(left, top), (right, top), (right, bottom), (left, bottom)]
