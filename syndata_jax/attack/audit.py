"""The audit of one file of predictions: every attack, with error bars.

With one model there is nothing to compare it with, so no likelihood ratio: an
example's score is what the model says about it, and intervals are over examples
alone, since of the spread between models one model shows nothing. In return
training costs 1/M of an audit with M shadow models.
"""

from typing import Any

import numpy as np

from syndata_jax import keys
from syndata_jax.attack import bootstrap
from syndata_jax.attack.epsilon import DEFAULT_DELTA, epsilon_lower_bound
from syndata_jax.attack.gaussian_run import white_box_bound
from syndata_jax.attack.predictions import PredictionFile, Predictions
from syndata_jax.attack.selection import selection
from syndata_jax.attack.variants import (
  Variant,
  headline,
  variant_scores,
  variants,
)


def attack(
  file: PredictionFile,
  seed: int = 0,
  replicates: int = 500,
  delta: float = DEFAULT_DELTA,
) -> dict[str, Any]:
  """Attacks the canaries and, where there is one, the average case.

  With one model the attack is a threshold, and membership must come from fair
  coins: Steinke et al. (2023), see `one_run`.

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
    `EpsilonBound` that its scores of the canaries give; `white_box_bound`, if
    the file has gradient canaries, their `WhiteBoxBound`; `selection`, where
    models left out some of their own canaries, is that of `selection.py`.
    `canaries` and, if the file has it, `average` hold the sizes of the
    population, `smallest_fpr` (one false positive), `attacks` (a record per
    variant, the headline first) and, of several models, `shuffled` (the
    headline on `shuffled` predictions: what no leakage looks like at this
    size). `others`, if the file has other networks, holds for each the record
    of the headline on the canaries, under its name. Every figure is
    `{"value", "low", "high"}`, a fraction.

  Raises:
    ValueError: predictions that `load_predictions` would have refused, or too
      few replicates.
  """
  canaries = file.canaries
  quoted = headline(canaries)
  scores = variant_scores(canaries, quoted)
  bound = epsilon_lower_bound(scores, canaries.membership, delta)
  one_run = _models(canaries) == 1
  result: dict[str, Any] = {
    "audit": "one_run" if one_run else "shadow_models",
    "headline": quoted._asdict(),
    "epsilon_bound": bound._asdict(),
  }
  if file.white_box is not None:
    white_box = white_box_bound(file.white_box, delta)
    result["white_box_bound"] = white_box._asdict()
  if file.selected is not None and not one_run:
    result["selection"] = selection(scores, canaries.membership, file.selected)
  result["canaries"] = _audit(canaries, "canaries", seed, replicates)
  if file.average is not None:
    result["average"] = _audit(file.average, "average", seed, replicates)
  if file.others:
    draws = _draws(canaries, "canaries", seed, replicates)
    result["others"] = {
      name: _record(canaries._replace(logits=other.logits), quoted, draws)
      for name, other in file.others.items()
    }
  return result


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
  predictions: Predictions, population: str, seed: int, replicates: int
) -> dict[str, Any]:
  """One population's part of the result.

  Args:
    predictions: of the population.
    population: its name, which names its streams.
    seed: of the resampling and of the control.
    replicates: of the bootstrap.
  """
  examples, models, views, _ = predictions.logits.shape
  draws = _draws(predictions, population, seed, replicates)
  members = int(np.sum(predictions.membership))
  nonmembers = examples * models - members
  record = {
    "examples": examples,
    "models": models,
    "views": views,
    "members": members,
    "nonmembers": nonmembers,
    "smallest_fpr": 1 / nonmembers,
    "attacks": [
      _record(predictions, variant, draws) for variant in variants(predictions)
    ],
  }
  if models > 1:
    control = shuffled(predictions, seed, population)
    record["shuffled"] = _record(control, headline(predictions), draws)
  return record


def _draws(
  predictions: Predictions, population: str, seed: int, replicates: int
) -> bootstrap.Draws:
  """The replicates that all attacks on one population are judged on.

  Args:
    predictions: of the population.
    population: its name, which names the stream.
    seed: of the resampling.
    replicates: how many.
  """
  generator = keys.generator(seed, f"attack/{population}/bootstrap")
  examples, models = predictions.membership.shape
  return bootstrap.draw(examples, models, replicates, generator)


def _record(
  predictions: Predictions, variant: Variant, draws: bootstrap.Draws
) -> dict[str, Any]:
  scores = variant_scores(predictions, variant)
  figures = bootstrap.intervals(scores, predictions.membership, draws)
  return variant._asdict() | figures


def _models(predictions: Predictions) -> int:
  return predictions.membership.shape[1]
