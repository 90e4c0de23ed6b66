"""The attacks of an audit, by name, and the one that is its headline."""

from typing import Literal, NamedTuple

import numpy as np

from syndata_jax.attack.lira import Variance, lira
from syndata_jax.attack.predictions import Predictions
from syndata_jax.attack.scores import hinge_score, logit_score

_SCORES = {"hinge": hinge_score, "logit": logit_score}


class Variant(NamedTuple):
  """One attack with all its choices made."""

  attack: Literal["lira", "threshold"]
  score: Literal["hinge", "logit"]
  variance: Variance | None  # of LiRA alone
  views: int  # augmented queries used, the untouched image among them


def headline(predictions: Predictions) -> Variant:
  """LiRA, per-example variance, hinge score, all views.

  Fixed before any result is seen, and the same for every paradigm: the largest
  of several noisy figures is an optimistic one, and more so the less a
  paradigm leaks. Per-example variance is the default of the published attack;
  with few models the pooled one has more power, so read its row as well. Of a
  single model it is a threshold on the hinge score, all views.
  """
  return variants(predictions)[0]


def variants(predictions: Predictions) -> list[Variant]:
  """All attacks on as many models and views as there are, the headline first.

  A single model has nothing to be compared with: thresholds alone.
  """
  _, models, views, _ = predictions.logits.shape
  scores: tuple[Literal["hinge", "logit"], ...] = ("hinge", "logit")
  # All views first, then the untouched image alone.
  counts = sorted({views, 1}, reverse=True)
  if models == 1:
    return [
      Variant("threshold", score, None, count)
      for count in counts
      for score in scores
    ]
  variances: tuple[Variance, ...] = ("per_example", "global")
  liras = [
    Variant("lira", score, variance, count)
    for count in counts
    for score in scores
    for variance in variances
  ]
  return liras + [Variant("threshold", score, None, 1) for score in scores]


def variant_scores(predictions: Predictions, variant: Variant) -> np.ndarray:
  """The attack's score of each example and model, f64[Q, M]; high: member.

  A threshold is on the mean over the views that are used.
  """
  scores = _SCORES[variant.score](
    predictions.logits[:, :, : variant.views],
    predictions.labels[:, None, None],
  )
  if variant.variance is None:
    return scores.mean(axis=2)
  return lira(scores, predictions.membership, variant.variance)


def headline_scores(predictions: Predictions) -> np.ndarray:
  """`variant_scores` of the headline attack, f64[Q, M]."""
  return variant_scores(predictions, headline(predictions))
