"""How exposed each audited example is, rather than all of them together."""

from typing import NamedTuple

import numpy as np
from scipy import special

from syndata_jax.attack import design
from syndata_jax.attack.predictions import Predictions
from syndata_jax.attack.roc import HEADLINE_FPR
from syndata_jax.attack.variants import (
  Variant,
  headline,
  headline_scores,
  variant_scores,
)

_LENIENT_FPR = 0.01
_TAIL = 0.025  # on either side of the interval


class Exposure(NamedTuple):
  """What the attack knows of each of Q examples, the most exposed first.

  NaN stands where an example has no model of the kind, as with a single model.
  """

  row: np.ndarray  # i64[Q], of the predictions
  label: np.ndarray  # i32[Q], that of training
  models_in: np.ndarray  # i64[Q], judged models that trained on it
  models_out: np.ndarray  # i64[Q], judged models that did not
  # f64[Q], means of the score under LiRA, over all models that trained on it
  # and all that did not, references included: how much a model prefers the
  # label, in logits, of the untouched image.
  score_in: np.ndarray
  score_out: np.ndarray
  # f64[Q], share of `models_in` that recognise it, with its 95% interval.
  recognised: np.ndarray
  recognised_low: np.ndarray
  recognised_high: np.ndarray
  recognised_at_1_percent: np.ndarray  # f64[Q]


def exposure(predictions: Predictions, target: int | None = None) -> Exposure:
  """Judges each example by the headline attack.

  A model recognises one of its members if the attack scores it higher than
  all non-members but the number that an FPR of 0.1% (or 1%) allows; these are
  the non-members of the whole population, over all models. So the mean of
  `recognised`, weighted by `models_in`, is the TPR that the report quotes. Its
  interval is that of Clopper and Pearson (1934): models drawn anew, the
  threshold as it is.

  Args:
    predictions: of one population.
    target: the model that is judged; None where each is.

  Returns:
    The examples in the order of `recognised`, then `recognised_at_1_percent`,
    then the distance between the two mean scores.
  """
  everywhere = np.asarray(predictions.membership, bool)
  members = design.judged(everywhere, target)
  quoted = headline(predictions, target)
  variant = Variant("threshold", quoted.score, None, views=1)
  scores = variant_scores(predictions, variant)
  attacked = headline_scores(predictions, target)
  above, leniently_above = (
    attacked > _highest_refused(attacked[~members], fpr)
    for fpr in (HEADLINE_FPR, _LENIENT_FPR)
  )
  strict, lenient = _mean(above, members), _mean(leniently_above, members)
  low, high = _binomial_interval(
    (above & members).sum(axis=1), members.sum(axis=1)
  )
  score_in, score_out = _mean(scores, everywhere), _mean(scores, ~everywhere)
  distance = np.nan_to_num(score_in) - np.nan_to_num(score_out)
  # The last key of lexsort is its first; NaN sorts behind all numbers.
  order = np.lexsort((-distance, -lenient, -strict))
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


def _mean(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
  """f64[Q], the mean of real[Q, M] over the chosen models; NaN of none."""
  total, count = (values * chosen).sum(axis=1), chosen.sum(axis=1)
  return np.divide(
    total, count, out=np.full(len(total), np.nan), where=count > 0
  )


def _binomial_interval(
  successes: np.ndarray, trials: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Clopper and Pearson's exact 95% interval, f64[Q] each; NaN of no trial."""
  failures = trials - successes
  # Where there is no success (or failure), the end is that of the range.
  low = special.betaincinv(np.maximum(successes, 1), failures + 1, _TAIL)
  high = special.betaincinv(successes + 1, np.maximum(failures, 1), 1 - _TAIL)
  low = np.where(successes == 0, 0.0, low)
  high = np.where(failures == 0, 1.0, high)
  nothing = trials == 0
  return np.where(nothing, np.nan, low), np.where(nothing, np.nan, high)
