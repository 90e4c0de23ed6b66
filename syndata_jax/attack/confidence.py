"""Scores from what is no logit: probabilities, confidences and losses.

All give log(p / (1 - p)) of the label, which is `logit_score` of the logits
they came from. Where p is near 1 the digits of 1 - p decide, and those a
rounded p no longer has; each function does what its input still allows.
"""

from typing import NamedTuple

import numpy as np

# Two decimals are the coarsest rounding that is taken for a rounding.
_COARSEST = 0.005


class Converted(NamedTuple):
  """Values on the scale of logits, and what rounding had taken from them."""

  values: np.ndarray  # f64
  zeros: int  # values whose logarithm does not exist
  stand_in: float  # the number that was taken for them


def log_probabilities(probabilities: np.ndarray) -> Converted:
  """The logarithms of float[..., K]; they are logits of the same classes.

  The score of a row then is log p less the logarithm of the sum of the other
  entries, so a p that was rounded to 1 loses nothing while they are above 0.

  Args:
    probabilities: in [0, 1].
  """
  positive, zeros, stand_in = _above_zero(probabilities)
  return Converted(np.log(positive), zeros, stand_in)


def from_losses(losses: np.ndarray) -> Converted:
  """log(p / (1 - p)) of p = exp(-loss), the cross-entropy in nats.

  Args:
    losses: float[...], 0 or above. A zero is a loss that was rounded.
  """
  positive, zeros, stand_in = _above_zero(losses)
  return Converted(_log_odds(-positive), zeros, stand_in)


def from_confidences(confidences: np.ndarray) -> Converted:
  """log(p / (1 - p)) of p, the probability of the label.

  Args:
    confidences: float[...] in [0, 1]. Both ends are numbers that were rounded.
  """
  # As f64 first: of a narrower type, 1 - p is exact then.
  rest, ones, near_one = _above_zero(1 - np.asarray(confidences, np.float64))
  positive, zeros, near_zero = _above_zero(confidences)
  values = np.log(positive) - np.log(rest)
  return Converted(values, ones + zeros, near_one if ones else near_zero)


def _above_zero(values: np.ndarray) -> tuple[np.ndarray, int, float]:
  """Not negative values as f64 without zeros.

  What becomes zero by rounding lies below half a step, and the smallest value
  that did not is about a step: its half stands for the zeros. A constant far
  below, such as 1e-12, would make outliers of them, which no variance stands.

  Args:
    values: float[...], none negative.
  """
  positive = np.array(values, np.float64)
  is_zero = positive == 0
  zeros = int(is_zero.sum())
  if not zeros:
    return positive, 0, 0.0
  smallest = positive.min(where=~is_zero, initial=2 * _COARSEST)
  positive[is_zero] = smallest / 2
  return positive, zeros, float(smallest / 2)


def _log_odds(logarithm: np.ndarray) -> np.ndarray:
  """log(p / (1 - p)) from log p, which is negative."""
  return logarithm - np.log(-np.expm1(logarithm))
