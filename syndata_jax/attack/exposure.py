"""How exposed each audited example is, rather than all of them together."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from syndata_jax.attack.predictions import Predictions
from syndata_jax.attack.roc import HEADLINE_FPR
from syndata_jax.attack.variants import (
  Variant,
  headline,
  headline_scores,
  variant_scores,
)

_LENIENT_FPR = 0.01


class Exposure(NamedTuple):
  """What the attack knows of each of Q examples, the most exposed first.

  NaN stands where an example has no model of the kind, as with a single model.
  """

  row: np.ndarray  # i64[Q], of the predictions
  label: np.ndarray  # i32[Q], that of training
  models_in: np.ndarray  # i64[Q], models that trained on it
  models_out: np.ndarray  # i64[Q], models that did not
  # f64[Q], means over these models of the score under LiRA: how much a model
  # prefers the label, in logits, of the untouched image.
  score_in: np.ndarray
  score_out: np.ndarray
  # f64[Q], shares of the models that trained on it.
  recognised: np.ndarray
  # f64[Q], its interval of 95% by Clopper and Pearson (1934), over the models.
  recognised_low: np.ndarray
  recognised_high: np.ndarray
  recognised_at_1_percent: np.ndarray


def exposure(predictions: Predictions) -> Exposure:
  """Judges each example by the headline attack.

  A model recognises one of its members if the attack scores it higher than
  all non-members but the number that an FPR of 0.1% (or 1%) allows; these are
  the non-members of the whole population, over all models. So the mean of
  `recognised`, weighted by `models_in`, is the TPR that the report quotes.

  Args:
    predictions: of one population.

  Returns:
    The examples in the order of `recognised`, then `recognised_at_1_percent`,
    then the distance between the two mean scores.
  """
  members = np.asarray(predictions.membership, bool)
  variant = Variant("threshold", headline(predictions).score, None, views=1)
  scores = variant_scores(predictions, variant)
  judged = headline_scores(predictions)
  strict, lenient = (
    _mean(judged > _highest_refused(judged[~members], fpr), members)
    for fpr in (HEADLINE_FPR, _LENIENT_FPR)
  )
  score_in, score_out = _mean(scores, members), _mean(scores, ~members)
  distance = np.nan_to_num(score_in) - np.nan_to_num(score_out)
  # The last key of lexsort is its first; NaN sorts behind all numbers.
  order = np.lexsort((-distance, -lenient, -strict))
  low, high = _interval(strict, members.sum(axis=1))
  columns = (
    np.asarray(predictions.labels),
    members.sum(axis=1),
    (~members).sum(axis=1),
    score_in,
    score_out,
    strict,
    low,
    high,
    lenient,
  )
  return Exposure(order, *(column[order] for column in columns))


def _highest_refused(nonmembers: np.ndarray, fpr: float) -> float:
  """The score f64[n] that only as many exceed as the FPR allows."""
  count = len(nonmembers)
  # The shares that `tpr_at_fpr` compares, so that both round alike.
  allowed = np.searchsorted(np.arange(count + 1) / count, fpr, "right") - 1
  return float(np.sort(nonmembers)[::-1][allowed])


def _interval(
  share: np.ndarray, trials: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Clopper and Pearson's 95% for shares f64[Q] of i64[Q] trials."""
  tail = 0.025
  successes = np.round(share * trials)
  failures = trials - successes
  # Of no successes, and of no failures, SciPy's quantile is NaN.
  low = np.nan_to_num(stats.beta.ppf(tail, successes, failures + 1), nan=0.0)
  high = stats.beta.ppf(1 - tail, successes + 1, failures)
  high = np.nan_to_num(high, nan=1.0)
  unknown = trials == 0
  return np.where(unknown, np.nan, low), np.where(unknown, np.nan, high)


def _mean(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
  """f64[Q], the mean of real[Q, M] over the chosen models; NaN of none."""
  total, count = (values * chosen).sum(axis=1), chosen.sum(axis=1)
  return np.divide(
    total, count, out=np.full(len(total), np.nan), where=count > 0
  )
