"""Variances that borrow strength: empirical Bayes for many small samples.

A variance of few references is noisy. Each is drawn towards a prior that all
examples share and that is fitted to them: nothing is chosen by hand, and where
every example has plenty of references the prior weighs next to nothing.

Source: Smyth, "Linear models and empirical Bayes methods for assessing
differential expression in microarray experiments" (2004), section 6.2. That
shrunk variances help membership inference: Brannvall, "Exponential-Family
Membership Inference: From LiRA and RMIA to BaVarIA" (arXiv 2603.11799), with
another prior.
"""

from typing import NamedTuple

import numpy as np
from scipy import special

# Variances of zero have no logarithm: raised to this share of the median, as
# in limma's `fitFDist`.
_FLOOR = 1e-5
# Where there is no median above zero either.
_SMALLEST = 1e-60


class Prior(NamedTuple):
  """Scaled inverse chi-square: variances are drawn as d0 s0^2 / chi^2_d0."""

  degrees: np.ndarray  # f64[...], d0 > 0; inf: all examples have one variance
  variance: np.ndarray  # f64[...], s0^2 > 0


def fit_prior(variances: np.ndarray, degrees: np.ndarray) -> Prior:
  """Fits priors by the mean and the variance of log s^2.

  s^2 / s0^2 then has an F distribution with (d, d0) degrees of freedom. d0 is
  infinite where log s^2 spreads no more than sampling alone explains.

  Args:
    variances: f64[..., Q], sample variances, 0 or above; one prior is fitted
      along the last axis.
    degrees: f64[..., Q], whole numbers d of degrees of freedom that broadcast
      against `variances`; entries below 1 hold no variance and are left out.

  Returns:
    The priors, f64[...] each; NaN where no entry has a degree of freedom.
  """
  usable = np.broadcast_to(degrees >= 1, variances.shape)
  count = usable.sum(axis=-1)
  # One table for the few numbers of degrees that there are.
  table = np.arange(1, int(degrees.max(initial=1)) + 1) / 2
  place = np.maximum(degrees, 1).astype(int) - 1
  offset = (np.log(table) - special.digamma(table))[place]
  sampling = np.broadcast_to(special.zeta(2, table)[place], variances.shape)
  logs = np.log(_floored(variances, usable))
  logs += offset

  with np.errstate(invalid="ignore", divide="ignore"):
    mean = np.sum(logs, axis=-1, where=usable) / count
    logs -= mean[..., None]
    np.square(logs, out=logs)
    spread = np.sum(logs, axis=-1, where=usable) / np.maximum(count - 1, 1)
    excess = spread - np.sum(sampling, axis=-1, where=usable) / count
  half = inverse_trigamma(np.where(excess > 0, excess, 1))
  shift = np.where(excess > 0, special.digamma(half) - np.log(half), 0)
  return Prior(np.where(excess > 0, 2 * half, np.inf), np.exp(mean + shift))


def posterior(
  variances: np.ndarray, degrees: np.ndarray, prior: Prior
) -> tuple[np.ndarray, np.ndarray]:
  """Variances drawn towards their prior.

  Args:
    variances: f64[..., Q].
    degrees: f64[..., Q] of broadcasting shape, d: how much each counts.
    prior: f64[...] each.

  Returns:
    (d0 s0^2 + d s^2) / (d0 + d), f64[..., Q], and its degrees of freedom
    d0 + d in the shape of the two.
  """
  total = prior.degrees[..., None] + degrees
  expected = prior.variance[..., None]
  # Of this form an infinite d0 makes no inf / inf.
  return expected + degrees / total * (variances - expected), total


def student_normaliser(degrees: np.ndarray) -> np.ndarray:
  """log of the Student density at 0 over that of the Gaussian, f64[...].

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
  and exact for infinitely many degrees of freedom.

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


def inverse_trigamma(values: np.ndarray) -> np.ndarray:
  """y > 0 with trigamma(y) = x, for x > 0, by Newton's iteration.

  Source: Smyth (2004), appendix: for 1 / trigamma, which is convex and close
  to linear, the iteration from 1/2 + 1/x converges monotonically.
  """
  values = np.asarray(values, np.float64)
  # Outside, the leading term is exact to rounding, or nearly so.
  inner = np.clip(values, 1e-6, 1e7)
  result = 0.5 + 1 / inner
  for _ in range(50):
    trigamma = special.zeta(2, result)
    # The derivative of trigamma is -2 zeta(3, y).
    step = trigamma * (1 - trigamma / inner) / (-2 * special.zeta(3, result))
    result += step
    if (np.abs(step) <= 1e-14 * result).all():
      break
  result = np.where(values > 1e7, 1 / np.sqrt(values), result)
  return np.where(values < 1e-6, 1 / values, result)


def _floored(variances: np.ndarray, usable: np.ndarray) -> np.ndarray:
  """The variances raised to a share of their median, a copy."""
  positive = usable & (variances > 0)
  if positive.all():
    median = np.median(variances, axis=-1, keepdims=True)
  else:
    counted = np.where(positive, variances, np.nan)
    counted[~positive.any(axis=-1)] = 0
    median = np.nanmedian(counted, axis=-1, keepdims=True)
  return np.maximum(variances, np.maximum(_FLOOR * median, _SMALLEST))
