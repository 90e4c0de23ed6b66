"""The attacks of an audit, by name, and the one that is its headline."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from syndata_jax.attack import design
from syndata_jax.attack.base import base
from syndata_jax.attack.design import Design
from syndata_jax.attack.lira import NEEDED, Variance, lira, offline_lira
from syndata_jax.attack.predictions import Predictions
from syndata_jax.attack.rmia import offline_rmia, rmia
from syndata_jax.attack.scores import hinge_score, logit_score

Attack = Literal[
  "lira", "rmia", "base", "threshold", "lira_offline", "rmia_offline"
]
Score = Literal["hinge", "logit"]

_SCORES = {"hinge": hinge_score, "logit": logit_score}
_VARIANCES: Sequence[Variance] = get_args(Variance)


class Variant(NamedTuple):
  """One attack with all its choices made."""

  attack: Attack
  score: Score
  variance: Variance | None  # of LiRA alone
  views: int  # augmented queries used, the untouched image among them


def headline(predictions: Predictions, target: int | None = None) -> Variant:
  """LiRA, shrunk variance, hinge score, all views.

  Fixed before any result is seen, and the same for every paradigm and number
  of models: the largest of several noisy figures is an optimistic one, and
  more so the less a paradigm leaks. It is the first of `variants`, so the
  offline form where IN references are lacking, and of a single model a
  threshold on the hinge score, all views.

  Args:
    predictions: of one population.
    target: the model to judge; None for each in turn.
  """
  return variants(predictions, target)[0]


def variants(
  predictions: Predictions, target: int | None = None
) -> list[Variant]:
  """The attacks that the design admits, the headline first.

  | design | rows |
  |---|---|
  | IN and OUT references | LiRA, RMIA, BASE, thresholds |
  | OUT references alone | offline LiRA, offline RMIA, thresholds |
  | a single model, or no OUT references | thresholds |

  LiRA comes with both scores and each variance that the smallest row admits,
  on all views; RMIA and BASE need a probability, so the logit score. What more
  than one view gains is shown once, by the shrunk variance on the untouched
  image alone, where thresholds stand too.

  Args:
    predictions: of one population.
    target: the model to judge; None for each in turn.
  """
  examples, _, views, _ = predictions.logits.shape
  recognised = design.recognise(predictions.membership, target)
  scores: Sequence[Score] = get_args(Score)
  # All views first, then the untouched image alone.
  counts = sorted({views, 1}, reverse=True)
  if recognised.audit == "one_run":
    return [
      Variant("threshold", score, None, count)
      for count in counts
      for score in scores
    ]
  offline = recognised.inside == 0
  rows = [
    Variant("lira_offline" if offline else "lira", score, variance, views)
    for variance in _VARIANCES
    if _admits(recognised, variance)
    for score in scores
  ]
  rivals: Sequence[Attack] = ("rmia_offline",) if offline else ("rmia", "base")
  if recognised.outside > 0 and examples > 1:
    rows += [Variant(rival, "logit", None, views) for rival in rivals]
  if views > 1:
    rows += [row._replace(views=1) for row in rows if row.variance == "shrunk"]
  return rows + [Variant("threshold", score, None, 1) for score in scores]


def variant_scores(
  predictions: Predictions, variant: Variant, target: int | None = None
) -> np.ndarray:
  """The attack's score of each example and judged model; high: member.

  A threshold is on the mean over the views that are used.

  Args:
    predictions: of one population.
    variant: one of `variants`.
    target: the model to judge; None for each in turn.

  Returns:
    f64[Q, M], or f64[Q, 1] of a target.
  """
  scores = _SCORES[variant.score](
    predictions.logits[:, :, : variant.views],
    predictions.labels[:, None, None],
  )
  membership = predictions.membership
  if variant.attack == "threshold":
    return design.judged(scores.mean(axis=2), target)
  if variant.attack == "rmia":
    return rmia(scores, membership, target)
  if variant.attack == "rmia_offline":
    return offline_rmia(scores, membership, target=target)
  if variant.attack == "base":
    return base(scores, membership, target)
  attack = lira if variant.attack == "lira" else offline_lira
  assert variant.variance is not None
  return attack(scores, membership, variant.variance, target)


def headline_scores(
  predictions: Predictions, target: int | None = None
) -> np.ndarray:
  """`variant_scores` of the headline attack."""
  return variant_scores(predictions, headline(predictions, target), target)


def _admits(recognised: Design, variance: Variance) -> bool:
  """Whether LiRA, or its offline form, has the references it needs."""
  needed = NEEDED[variance]
  enough = recognised.outside >= needed and recognised.outside_spreads
  if recognised.inside == 0:
    return enough
  return enough and recognised.inside >= needed and recognised.inside_spreads
