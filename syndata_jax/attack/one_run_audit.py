"""The audit of a single model, each example included by a fair coin.

Without shadow models there is no likelihood ratio: an example's score is what
the one model says about it. In return training costs 1/M of an audit.
"""

import numpy as np

from syndata_jax import keys
from syndata_jax.attack import bootstrap
from syndata_jax.attack.epsilon import epsilon_lower_bound
from syndata_jax.attack.predictions import PredictionFile, Predictions
from syndata_jax.attack.variants import Variant, view_scores


def attack_one(
  file: PredictionFile, delta: float, seed: int, replicates: int
) -> dict:
  """`attack` where M = 1; see there for the arguments.

  Returns:
    The same record without `shuffled`. Intervals are over examples alone: of
    the spread between models one model shows nothing.
  """
  canaries = file.canaries
  headline = _variants(canaries)[0]
  scores = one_run_scores(canaries, headline)
  # As `one_run_epsilon`, but one model of a split in pairs is known as such.
  bound = epsilon_lower_bound(scores, canaries.membership, delta)
  populations = {"canaries": canaries, "average": file.average}
  return {
    "audit": "one_run",
    "headline": headline._asdict(),
    "epsilon_bound": bound._asdict(),
  } | {
    name: _audit(predictions, name, seed, replicates)
    for name, predictions in populations.items()
    if predictions is not None
  }


def one_run_scores(predictions: Predictions, variant: Variant) -> np.ndarray:
  """The mean over views of hinge or logit score, f64[Q, M]; high: member."""
  return view_scores(predictions, variant).mean(axis=2)


def _variants(predictions: Predictions) -> list[Variant]:
  """Both scores, with all views and with one; the headline first."""
  views = predictions.logits.shape[2]
  return [
    Variant("threshold", score, None, count)
    for count in sorted({views, 1}, reverse=True)
    for score in ("hinge", "logit")
  ]


def _audit(
  predictions: Predictions, name: str, seed: int, replicates: int
) -> dict:
  examples, models, views, _ = predictions.logits.shape
  generator = keys.generator(seed, f"attack/{name}/bootstrap")
  draws = bootstrap.draw(examples, models, replicates, generator)
  membership = predictions.membership
  members = int(membership.sum())
  return {
    "examples": examples,
    "models": models,
    "views": views,
    "members": members,
    "nonmembers": examples - members,
    "smallest_fpr": 1 / (examples - members),
    "attacks": [
      variant._asdict()
      | bootstrap.intervals(
        one_run_scores(predictions, variant), membership, draws
      )
      for variant in _variants(predictions)
    ],
  }
