"""The two kinds of columns of a table, and what may stand in them."""

import dataclasses
import math
from typing import Any, Literal, get_args

import numpy as np

from syndata_jax.errors import UserError

Scale = Literal["linear", "log", "log1p"]

# Above it float64 no longer tells whole numbers apart.
_LARGEST = 2**53


@dataclasses.dataclass(frozen=True)
class Category:
  """A column with one of several words.

  Attributes:
    name: of the column.
    values: the words, at least two; in arrays a word is its place here.

  Raises:
    UserError: fewer than two values, or one twice.
  """

  name: str
  values: tuple[str, ...]

  def __post_init__(self) -> None:
    if len(self.values) < 2:
      raise UserError(
        f"column {self.name}: values={list(self.values)}: at least two needed"
      )
    for value in self.values:
      if self.values.count(value) > 1:
        raise UserError(f"column {self.name}: value {value!r} stands twice")

  @property
  def allowed(self) -> str:
    """What may stand in the column, for messages."""
    few = ", ".join(map(repr, self.values[:8]))
    rest = len(self.values) - 8
    return f"one of {few}" + (f" and {rest} more" if rest > 0 else "")


@dataclasses.dataclass(frozen=True)
class Numeric:
  """A column of numbers.

  In arrays a number is in *units*: 0 at the minimum, 1 at the maximum, evenly
  along the scale.

  Attributes:
    name: of the column.
    minimum: the smallest number allowed.
    maximum: the largest one, above it.
    is_integer: whole numbers alone.
    scale: "linear"; "log" for a minimum above 0; "log1p", the logarithm of
      1 + x - minimum, for counts and amounts with many zeros.

  Raises:
    UserError: a field that is not as above.
  """

  name: str
  minimum: float
  maximum: float
  is_integer: bool = False
  scale: Scale = "linear"

  def __post_init__(self) -> None:
    place = f"column {self.name}"
    for name in ("minimum", "maximum"):
      bound = getattr(self, name)
      is_number = isinstance(bound, (int, float)) and not isinstance(
        bound, bool
      )
      if not is_number or not math.isfinite(bound):
        raise UserError(f"{place}: {name}={bound!r}: must be a finite number")
      if self.is_integer and (bound != bound // 1 or abs(bound) > _LARGEST):
        raise UserError(f"{place}: {name}={bound}: must be a whole number")
    if self.minimum >= self.maximum:
      raise UserError(
        f"{place}: maximum={self.maximum}: must be above the minimum,"
        f" {self.minimum}"
      )
    if self.scale not in get_args(Scale):
      raise UserError(
        f"{place}: scale={self.scale!r}: must be one of"
        f" {', '.join(get_args(Scale))}"
      )
    if self.scale == "log" and self.minimum <= 0:
      raise UserError(
        f"{place}: minimum={self.minimum}: must be above 0 under scale='log';"
        " 'log1p' takes any"
      )

  @property
  def allowed(self) -> str:
    """What may stand in the column, for messages."""
    kind = "a whole number" if self.is_integer else "a number"
    return f"{kind} in [{self.minimum:.15g}, {self.maximum:.15g}]"

  @property
  def steps(self) -> float:
    """Of a column of whole numbers, one less than how many there are."""
    return self.maximum - self.minimum

  def units(self, values: Any, xp: Any = np) -> Any:
    """Numbers to units; arrays of NumPy, or of JAX with `xp=jnp`."""
    if self.scale == "log":
      return xp.log(values / self.minimum) / self._length
    if self.scale == "log1p":
      return xp.log1p(values - self.minimum) / self._length
    return (values - self.minimum) / self._length

  def values(self, units: Any, xp: Any = np) -> Any:
    """Units to numbers, the inverse of `units`; integers are not rounded."""
    if self.scale == "log":
      return self.minimum * xp.exp(units * self._length)
    return self.minimum + self.offset(units, xp)

  def offset(self, units: Any, xp: Any = np) -> Any:
    """Units to numbers above the minimum, precise where that is large."""
    if self.scale == "log":
      return self.values(units, xp) - self.minimum
    if self.scale == "log1p":
      return xp.expm1(units * self._length)
    return units * self._length

  def released(self, units: np.ndarray) -> np.ndarray:
    """Units to the numbers of a file: in the domain, integers whole.

    Args:
      units: f32[B].

    Returns:
      f64[B].
    """
    values = self.values(np.asarray(units, np.float64))
    if self.is_integer:
      values = np.round(values)
    return np.clip(values, self.minimum, self.maximum)

  @property
  def _length(self) -> float:
    """Of the domain along the scale."""
    if self.scale == "log":
      return math.log(self.maximum / self.minimum)
    if self.scale == "log1p":
      return math.log1p(self.steps)
    return self.maximum - self.minimum


Column = Category | Numeric
