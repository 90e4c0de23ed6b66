"""Variances that borrow strength: empirical Bayes for many small samples.

A variance of few references is noisy. Each is drawn towards a prior that all
examples share and that is fitted to them: nothing is chosen by hand, and where
every example has plenty of references the prior weighs next to nothing.

The model is that of Smyth, "Linear models and empirical Bayes methods for
assessing differential expression in microarray experiments" (2004); that it
helps membership inference is from Brannvall, "Exponential-Family Membership
Inference: From LiRA and RMIA to BaVarIA" (arXiv 2603.11799). Smyth's fit, by
the moments of log s^2 (section 6.2), takes every spread of log s^2 beyond that
of Gaussian samples for a difference between examples. Scores in two humps
spread it alike, though all examples have one variance; the fit then trusts
each example's own noisy one and the attack loses most of its power. So the
prior is fitted by how well it predicts scores that were left out, which is the
use made of it, and which asks nothing of samples of their own.

What it cannot mend: where each example has humps in shares of its own, as far
apart as members are from non-members, its rare hump looks like membership, and
at the lowest false positive rates a variance pooled over unlike examples finds
more. See the table that `tests/attack/test_power.py` prints.
"""

from typing import NamedTuple

import numpy as np
from scipy import special

# A variance where there is no spread at all.
_SMALLEST = 1e-60
# Scores left out that the fit looks at: two numbers need no more.
_ENTRIES = 1 << 14
# Candidates; the best is refined by half a step.
_DEGREES = np.append(2.0 ** np.arange(8), np.inf)
_LOG_STEP = 0.5
_LOG_FACTORS = _LOG_STEP * np.arange(-5, 6)
# Of a squared standard normal.
_MEDIAN = 2 * special.gammaincinv(0.5, 0.5)


class Prior(NamedTuple):
  """Scaled inverse chi-square: variances are drawn as d0 s0^2 / chi^2_d0."""

  degrees: float  # d0 > 0; inf: all examples have one variance
  variance: float  # s0^2 > 0


def fit_prior(
  squares: np.ndarray, variances: np.ndarray, degrees: np.ndarray
) -> Prior:
  """The prior that best predicts scores from the other scores of their kind.

  Maximises the Student predictive density of scores left out, each given the
  mean and variance of its n companions: d0 over powers of 2 and infinity and
  s0^2 over powers of exp(1/2), then one refinement by half a step.

  Args:
    squares: f64[N], squared distance of a score to the mean of its n
      companions over 1 + 1/n: the variance that one such distance shows.
    variances: f64[N], sample variance of the companions; any value where n is
      1.
    degrees: f64[N], d = n - 1.

  Returns:
    The prior.
  """
  step = -(-len(squares) // _ENTRIES)
  squares, variances = squares[::step], variances[::step]
  sizes, size_of = np.unique(degrees[::step], return_inverse=True)
  unit = _typical(squares)
  squares, variances = squares / unit, variances / unit

  def likelihood(prior: Prior) -> float:
    total = prior.degrees + sizes
    share = (sizes / total)[size_of]
    spread = prior.variance + share * (variances - prior.variance)
    normaliser = student_normaliser(total)[size_of].sum()
    if np.isinf(prior.degrees):
      deviance = (squares / spread).sum()
    else:
      total = total[size_of]
      deviance = ((total + 1) * np.log1p(squares / (spread * total))).sum()
    return float(normaliser - (deviance + np.log(spread).sum()) / 2)

  best = max(
    (Prior(d0, np.exp(log)) for d0 in _DEGREES for log in _LOG_FACTORS),
    key=likelihood,
  )
  best = max(
    (
      Prior(best.degrees * ratio, best.variance * factor)
      for ratio in (1, 2**-0.5, 2**0.5)
      for factor in np.exp(_LOG_STEP / 2 * np.array([0, -1, 1]))
    ),
    key=likelihood,
  )
  return Prior(float(best.degrees), float(best.variance * unit))


def _typical(squares: np.ndarray) -> float:
  """The variance whose Gaussian has the median of these squares."""
  median = np.median(squares)
  if median == 0 and squares.any():
    median = np.median(squares[squares > 0])
  return max(float(median / _MEDIAN), _SMALLEST)


def posterior(
  variances: np.ndarray, degrees: np.ndarray, prior: Prior
) -> tuple[np.ndarray, np.ndarray]:
  """Variances drawn towards their prior.

  Args:
    variances: f64[...], s^2.
    degrees: f64[...] of broadcasting shape, d: how much each counts.
    prior: of all of them.

  Returns:
    (d0 s0^2 + d s^2) / (d0 + d), f64[...], and its degrees of freedom d0 + d
    in the shape of `degrees`.
  """
  total = prior.degrees + degrees
  # Of this form an infinite d0 makes no inf / inf.
  spread = prior.variance + degrees / total * (variances - prior.variance)
  return spread, total


def student_normaliser(degrees: np.ndarray) -> np.ndarray:
  """Log of the Student density at 0 over that of the Gaussian, f64[...].

  At most 0, and 0 for infinitely many degrees of freedom.
  """
  half = np.asarray(degrees) / 2
  # From 50 on the difference of two logarithms of Gamma has lost more digits
  # than its asymptotic series leaves out.
  few = np.minimum(half, 50)
  exact = special.gammaln(few + 0.5) - special.gammaln(few) - np.log(few) / 2
  inverse = 1 / np.maximum(half, 50)
  square = inverse**2
  series = -inverse * (1 / 8 - square * (1 / 192 - square / 640))
  return np.where(half < 50, exact, series)


def student_deviance(squares: np.ndarray, degrees: np.ndarray) -> np.ndarray:
  """-2 log of the Student density at z over that at 0.

  Args:
    squares: f64[...], z^2.
    degrees: f64[...] of broadcasting shape; inf is the Gaussian, z^2 itself.

  Returns:
    (v + 1) log(1 + z^2 / v), f64[...].
  """
  finite = np.isfinite(degrees)
  few = np.where(finite, degrees, 1.0)
  deviance = (few + 1) * np.log1p(squares / few)
  if finite.all():
    return deviance
  return np.where(finite, deviance, squares)


def normal_deviate(values: np.ndarray, degrees: np.ndarray) -> np.ndarray:
  """The normal deviate whose tail is that of a Student one, nearly.

  Source: Wallace, "Bounds on normal approximations to Student's and the
  chi-square distributions" (1959). Increasing in the value, never saturated,
  exact for infinitely many degrees of freedom, and within 1% for values up to
  8 from 5 degrees on.

  Args:
    values: f64[...], Student's t.
    degrees: f64[...] of broadcasting shape, above 0; inf allowed.

  Returns:
    f64[...].
  """
  finite = np.isfinite(degrees)
  few = np.where(finite, degrees, 1.0)
  factor = np.where(finite, (8 * few + 1) / (8 * few + 3), 1.0)
  bulk = np.where(finite, few * np.log1p(values**2 / few), values**2)
  return np.copysign(factor * np.sqrt(bulk), values)
