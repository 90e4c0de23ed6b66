"""The discrete Gaussian: noise that is a whole number, drawn exactly.

Floating-point Gaussian noise has lowest bits that no proof covers (Mironov,
CCS 2012). The discrete Gaussian, exp(-x^2 / 2 sigma^2) on whole numbers, is as
private as the continuous one (Canonne, Kamath and Steinke, arXiv 2004.00010),
and a table of its distribution function with 128 bits draws it on any device
in the same time whatever is drawn.
"""

from __future__ import annotations

import decimal
import math
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax.privacy import validate

if TYPE_CHECKING:
  from collections.abc import Sequence

_WORDS = 4  # of 32 bits
_BITS = 32 * _WORDS
# exp(-14^2 / 2) is below 2^-128: nothing beyond could be drawn.
_TAIL = 14
_DIGITS = 60

# What a table's law is away from the discrete Gaussian, over all bins of a
# histogram, whatever of it epsilon multiplies: far more than it is.
TABLE_DELTA = 1e-20


class NoiseTable(NamedTuple):
  """Where the distribution function passes from each number to the next.

  Attributes:
    thresholds: u32[R,4], 128 bits each, the highest first, ascending. As many
      as are at most a uniform number of 128 bits have been passed.
    lowest: i32[], the number that is drawn if none is.
  """

  thresholds: jax.Array | np.ndarray
  lowest: jax.Array | np.ndarray


def noise_table(standard_deviation: float) -> NoiseTable:
  """The table of one sigma; 0 for no noise.

  R is a power of two that follows from sigma.

  Raises:
    UserError: a number that is negative or not finite.
  """
  validate.check_noise(standard_deviation)
  end = math.ceil(_TAIL * standard_deviation)
  with decimal.localcontext(prec=_DIGITS):
    if end:
      scale = 2 * decimal.Decimal(float(standard_deviation)) ** 2
      half = [(-decimal.Decimal(x * x) / scale).exp() for x in range(end + 1)]
      masses = half[:0:-1] + half
      passed = _cumulative(masses)
    else:
      passed = []
  size = 1 << max(0, (len(passed) - 1).bit_length())
  # What fills up the table is passed by no number but the largest.
  passed += [(1 << _BITS) - 1] * (size - len(passed))
  shifts = range(_BITS - 32, -1, -32)
  words = [
    [value >> shift & 0xFFFFFFFF for shift in shifts] for value in passed
  ]
  return NoiseTable(np.array(words, np.uint32), np.asarray(-end, np.int32))


def draw(
  key: jax.Array, table: NoiseTable, shape: tuple[int, ...]
) -> jax.Array:
  """Discrete Gaussian noise i32[...], of whatever shape.

  Args:
    key: of the draws.
    table: of sigma.
    shape: of the result.
  """
  thresholds = jnp.asarray(table.thresholds)
  bits = jax.random.bits(key, (*shape, _WORDS), jnp.uint32)
  passed = jnp.zeros(shape, jnp.int32)
  # A binary search, of as many steps whatever is drawn.
  step = thresholds.shape[0]
  while step:
    ahead = passed + step
    last = jnp.minimum(ahead, thresholds.shape[0]) - 1
    moves = (ahead <= thresholds.shape[0]) & _at_most(thresholds[last], bits)
    passed = jnp.where(moves, ahead, passed)
    step //= 2
  return passed + table.lowest


def _cumulative(masses: Sequence[decimal.Decimal]) -> list[int]:
  """Whole parts of 2^128 times the distribution function, but for the end."""
  total = sum(masses, decimal.Decimal(0))
  passed, below = [], decimal.Decimal(0)
  for mass in masses[:-1]:
    below += mass
    passed.append(min(int(below / total * (1 << _BITS)), (1 << _BITS) - 1))
  return passed


def _at_most(thresholds: jax.Array, bits: jax.Array) -> jax.Array:
  """Whether numbers of several words are at most others; the last axis."""
  result = jnp.ones(bits.shape[:-1], bool)
  for word in reversed(range(_WORDS)):
    one, other = thresholds[..., word], bits[..., word]
    result = (one < other) | ((one == other) & result)
  return result
