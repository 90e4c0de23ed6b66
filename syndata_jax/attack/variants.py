"""The attacks of an audit, by name, and the one that is its headline."""

from typing import Literal, NamedTuple

import numpy as np

from syndata_jax.attack.lira import Variance, lira
from syndata_jax.attack.predictions import Predictions
from syndata_jax.attack.scores import hinge_score, logit_score
from syndata_jax.attack.threshold import global_threshold

_SCORES = {"hinge": hinge_score, "logit": logit_score}


class Variant(NamedTuple):
  """One attack with all its choices made."""

  attack: Literal["lira", "threshold"]
  score: Literal["hinge", "logit"]
  variance: Variance | None  # of LiRA alone
  views: int  # augmented queries used, the untouched image among them


def headline(num_views: int) -> Variant:
  """LiRA, per-example variance, hinge score, all views.

  Fixed before any result is seen, and the same for every paradigm: the largest
  of several noisy figures is an optimistic one, and more so the less a
  paradigm leaks. Per-example variance is the default of the published attack;
  with few models the pooled one has more power, so read its row as well.
  """
  return Variant("lira", "hinge", "per_example", num_views)


def variants(num_views: int) -> list[Variant]:
  """All attacks on predictions with `num_views` views, the headline first."""
  liras = [
    Variant("lira", score, variance, views)
    for views in sorted({num_views, 1}, reverse=True)
    for score in ("hinge", "logit")
    for variance in ("per_example", "global")
  ]
  baselines = [
    Variant("threshold", score, None, 1) for score in ("hinge", "logit")
  ]
  return liras + baselines


def variant_scores(predictions: Predictions, variant: Variant) -> np.ndarray:
  """The attack's score of each example and model, f64[Q, M]; high: member."""
  scores = view_scores(predictions, variant)
  if variant.variance is None:
    return global_threshold(scores)
  return lira(scores, predictions.membership, variant.variance)


def view_scores(predictions: Predictions, variant: Variant) -> np.ndarray:
  """Hinge or logit score under each view that is used, f64[Q, M, A]."""
  return _SCORES[variant.score](
    predictions.logits[:, :, : variant.views],
    predictions.labels[:, None, None],
  )


def headline_scores(predictions: Predictions) -> np.ndarray:
  """`variant_scores` of the headline attack, f64[Q, M]."""
  return variant_scores(predictions, headline(predictions.logits.shape[2]))
