"""The audit of one file of predictions: every attack, with error bars.

With one model there is nothing to compare it with, so no likelihood ratio: an
example's score is what the model says about it, and intervals are over examples
alone, since of the spread between models one model shows nothing. In return
training costs 1/M of an audit with M shadow models.
"""

from typing import Any

import numpy as np

from syndata_jax import keys
from syndata_jax.attack import bootstrap, released, roc
from syndata_jax.attack.design import judged, recognise
from syndata_jax.attack.epsilon import DEFAULT_DELTA, epsilon_lower_bound
from syndata_jax.attack.gaussian_run import white_box_bound
from syndata_jax.attack.intervals import Resampled, resample
from syndata_jax.attack.one_run import EpsilonBound
from syndata_jax.attack.predictions import (
  Closeness,
  PredictionFile,
  Predictions,
)
from syndata_jax.attack.scores import hinge_score
from syndata_jax.attack.selection import selection
from syndata_jax.attack.variants import (
  Variant,
  headline,
  variant_scores,
  variants,
)

_CONFIDENCE = 0.95


def attack(
  file: PredictionFile,
  seed: int = 0,
  replicates: int = 500,
  delta: float = DEFAULT_DELTA,
) -> dict[str, Any]:
  """Attacks the canaries, the average case and the dummies, where there are.

  With one model the attack is a threshold, and membership must come from fair
  coins: Steinke et al. (2023), see `one_run`.

  Args:
    file: predictions of one set of models; see `load_predictions`.
    seed: of the resampling; equal arguments give equal results.
    replicates: bootstrap replicates behind each 95% interval, at least 1; all
      the attacks on one population are judged on the same ones.
    delta: of the lower bound on epsilon: that of the claim, where there is
      one.

  Returns:
    A dict ready for JSON. `audit` is `shadow_models`, `target` where one model
    is judged by the others, or `one_run` where there is no other. `headline`
    names the variant to quote, and `epsilon_bound` holds the `EpsilonBound` of
    the canaries; `white_box_bound`, if the file has gradient canaries, their
    `WhiteBoxBound`; `selection`, where models left out some of their own
    canaries, is that of `selection.py`. `canaries` and, if the file has them,
    `average` and `dummies` hold the sizes of the population, `smallest_fpr`
    (one false positive), `chance` (the mean TPR of scores that hold nothing),
    `attacks` (a record per variant, the headline first), and `corrected`: at
    each FPR the attack whose lower end is the highest, when all of them are
    corrected for their number. `others`, if the file has other networks, holds
    for each the record of the headline on the canaries, under its name.
    `images`, if the file says how close released images come, holds the same by
    the space and the population, with the mean `distance` of members and
    non-members, and `images_corrected`, at each FPR, what the strongest space
    shows of the canaries; see `released.strongest`. Every figure is
    `{"value", "low", "high"}`, a fraction; those by FPR have it as text for a
    key.

  Raises:
    ValueError: predictions that `load_predictions` would have refused, or too
      few replicates.
  """
  canaries, target = file.canaries, file.target
  quoted = headline(canaries, target)
  result: dict[str, Any] = {
    "audit": recognise(canaries.membership, target).audit,
    "headline": quoted._asdict(),
    "epsilon_bound": _epsilon_bound(canaries, target, delta)._asdict(),
  }
  if file.white_box is not None:
    white_box = white_box_bound(file.white_box, delta)
    result["white_box_bound"] = white_box._asdict()
  if file.selected is not None and canaries.membership.shape[1] > 1:
    result["selection"] = selection(
      variant_scores(canaries, quoted, target),
      judged(canaries.membership, target),
      judged(file.selected, target),
    )
  populations = {
    "canaries": canaries,
    "average": file.average,
    "dummies": file.dummies,
  }
  for name, population in populations.items():
    if population is not None:
      draws = _draws(population, target, name, seed, replicates)
      result[name] = _population(population, target, draws)
  if file.closeness:
    of_models = len(result["canaries"]["attacks"])
    result |= _images(file, of_models, seed, replicates)
  if file.others:
    draws = _draws(canaries, target, "canaries", seed, replicates)
    result["others"] = {
      name: quoted._asdict()
      | _judge(
        canaries._replace(logits=other.logits), quoted, target, draws
      ).record(_CONFIDENCE)
      for name, other in file.others.items()
    }
  return result


def _images(
  file: PredictionFile, of_models: int, seed: int, replicates: int
) -> dict[str, Any]:
  """What the released images alone give away.

  Args:
    file: with closeness in some space.
    of_models: attacks on the canaries' answers, which were looked at as well.
    seed: as in `attack`.
    replicates: as in `attack`.
  """
  target = file.target
  records: dict[str, Any] = {name: {} for name in file.closeness}
  on_canaries = {}
  for name, closeness in file.closeness.items():
    for field in Closeness._fields:
      values, population = getattr(closeness, field), getattr(file, field)
      if values is None:
        continue
      predictions = released.as_predictions(values, population.membership)
      quoted = headline(predictions, target)
      draws = _draws(predictions, target, field, seed, replicates)
      judgement = _judge(predictions, quoted, target, draws)
      records[name][field] = {
        "attack": quoted.attack,
        "variance": quoted.variance,
        "distance": released.distances(values, population.membership),
      } | judgement.record(_CONFIDENCE)
      if field == "canaries" and name not in file.others:
        on_canaries[name] = judgement
  result: dict[str, Any] = {"images": records}
  if on_canaries:
    choices = of_models + len(on_canaries)
    result["images_corrected"] = released.strongest(
      on_canaries, _CONFIDENCE, choices
    )
  return result


def _epsilon_bound(
  predictions: Predictions, target: int | None, delta: float
) -> EpsilonBound:
  """The bound from scores that are not calibrated by membership."""
  labels = predictions.labels[:, None, None]
  scores = hinge_score(predictions.logits, labels)
  return epsilon_lower_bound(scores, predictions.membership, delta, target)


def _population(
  predictions: Predictions, target: int | None, draws: bootstrap.Draws
) -> dict[str, Any]:
  """One population's part of the result; `draws` are of what is judged."""
  examples, models, views, _ = predictions.logits.shape
  membership = judged(predictions.membership, target)
  members = int(np.sum(membership))
  nonmembers = membership.size - members
  attacks = variants(predictions, target)
  judgements = [
    _judge(predictions, variant, target, draws) for variant in attacks
  ]
  return {
    "examples": examples,
    "models": models,
    "views": views,
    "members": members,
    "nonmembers": nonmembers,
    "smallest_fpr": 1 / nonmembers,
    "chance": {str(f): roc.chance(f, nonmembers) for f in roc.FPR_LEVELS},
    "attacks": [
      variant._asdict() | judgement.record(_CONFIDENCE)
      for variant, judgement in zip(attacks, judgements, strict=True)
    ],
    "corrected": _corrected(judgements),
  }


def _corrected(judgements: list[Resampled]) -> dict[str, Any]:
  """At each FPR the attack whose corrected lower end is the highest.

  The best of several is picked after the fact, so each has an equal share of
  the error (Bonferroni).
  """
  confidence = 1 - (1 - _CONFIDENCE) / len(judgements)
  lows = np.array([each.interval(confidence)[0] for each in judgements])
  best = {}
  for level, fpr in enumerate(roc.FPR_LEVELS):
    index = int(lows[:, level].argmax())
    best[str(fpr)] = {
      "attack": index,
      "value": float(judgements[index].value[level]),
      "low": float(lows[index, level]),
    }
  return best


def _draws(
  predictions: Predictions,
  target: int | None,
  population: str,
  seed: int,
  replicates: int,
) -> bootstrap.Draws:
  """The replicates that all attacks on one population are judged on.

  Args:
    predictions: of the population.
    target: the model that is judged; None for each.
    population: its name, which names the stream.
    seed: of the resampling.
    replicates: how many.
  """
  generator = keys.generator(seed, f"attack/{population}/bootstrap")
  examples, models = judged(predictions.membership, target).shape
  return bootstrap.draw(examples, models, replicates, generator)


def _judge(
  predictions: Predictions,
  variant: Variant,
  target: int | None,
  draws: bootstrap.Draws,
) -> Resampled:
  """One attack on one population.

  Args:
    predictions: of the population.
    variant: the attack.
    target: the model that is judged; None for each.
    draws: of the judged examples and models.
  """
  scores = variant_scores(predictions, variant, target)
  return resample(scores, judged(predictions.membership, target), draws)
