"""The audit of one file of predictions: every attack, with error bars."""

import numpy as np

from syndata_jax import keys
from syndata_jax.attack import bootstrap
from syndata_jax.attack.epsilon import DEFAULT_DELTA, epsilon_lower_bound
from syndata_jax.attack.one_run_audit import attack_one
from syndata_jax.attack.predictions import PredictionFile, Predictions
from syndata_jax.attack.selection import selection
from syndata_jax.attack.variants import (
  Variant,
  headline,
  headline_scores,
  variant_scores,
  variants,
)


def attack(
  file: PredictionFile,
  seed: int = 0,
  replicates: int = 500,
  delta: float = DEFAULT_DELTA,
) -> dict:
  """Attacks the canaries and, where there is one, the average case.

  With one model there is nothing to compare it with: the attack is then a
  threshold, see `one_run_audit`, and membership must come from fair coins.

  Args:
    file: predictions of one set of models; see `load_predictions`.
    seed: of the resampling and of the shuffled control; equal arguments give
      equal results.
    replicates: bootstrap replicates behind each 95% interval, at least 1; all
      the attacks on one population are judged on the same ones.
    delta: of the lower bound on epsilon: that of the claim, where there is
      one.

  Returns:
    A dict ready for JSON. `audit` is `shadow_models`, or `one_run` where M is
    1. `headline` names the variant to quote, and `epsilon_bound` holds the
    `EpsilonBound` that its scores of the canaries give; `selection`, where
    models left out some of their own canaries, is that of `selection.py`.
    `canaries`
    and, if the file has it, `average` hold the sizes of the population,
    `smallest_fpr` (one false positive), `attacks` (a record per variant, the
    headline first) and `shuffled` (the headline on `shuffled` predictions:
    what no leakage looks like at this size). Every figure is
    `{"value", "low", "high"}`, a fraction.

  Raises:
    ValueError: predictions that `load_predictions` would have refused, or too
      few replicates.
  """
  canaries = file.canaries
  _, models, views, _ = canaries.logits.shape
  if models == 1:
    return attack_one(file, delta, seed, replicates)
  scores = headline_scores(canaries)
  bound = epsilon_lower_bound(scores, canaries.membership, delta)
  populations = {"canaries": canaries, "average": file.average}
  apart = {}
  if file.selected is not None:
    apart["selection"] = selection(scores, canaries.membership, file.selected)
  return {
    "audit": "shadow_models",
    "headline": headline(views)._asdict(),
    "epsilon_bound": bound._asdict(),
    **apart,
  } | {
    name: _audit(predictions, name, seed, replicates)
    for name, predictions in populations.items()
    if predictions is not None
  }


def shuffled(
  predictions: Predictions, seed: int = 0, population: str = "canaries"
) -> Predictions:
  """The same predictions, each row of membership shuffled over the models.

  The control of an audit: models and logits are real, but who was a member is
  drawn anew, so whatever an attack finds is chance. Rows keep their number of
  members. With the same seed and population (`canaries` or `average`) it is
  the control that `attack` reports.
  """
  generator = keys.generator(seed, f"attack/{population}/shuffled")
  membership = generator.permuted(predictions.membership, axis=1)
  return predictions._replace(membership=membership)


def _audit(
  predictions: Predictions, name: str, seed: int, replicates: int
) -> dict:
  """One population's part of the result."""
  examples, models, views, _ = predictions.logits.shape
  generator = keys.generator(seed, f"attack/{name}/bootstrap")
  draws = bootstrap.draw(examples, models, replicates, generator)
  control = shuffled(predictions, seed, name)
  members = int(np.sum(predictions.membership))
  nonmembers = examples * models - members
  return {
    "examples": examples,
    "models": models,
    "views": views,
    "members": members,
    "nonmembers": nonmembers,
    "smallest_fpr": 1 / nonmembers,
    "attacks": [
      _record(predictions, variant, draws) for variant in variants(views)
    ],
    "shuffled": _record(control, headline(views), draws),
  }


def _record(
  predictions: Predictions, variant: Variant, draws: bootstrap.Draws
) -> dict:
  scores = variant_scores(predictions, variant)
  figures = bootstrap.intervals(scores, predictions.membership, draws)
  return variant._asdict() | figures
