"""What the two pictures of an audit show, from its predictions."""

import numpy as np

from syndata_jax import attack
from syndata_jax.attack import PredictionFile, Predictions
from syndata_jax.reporting.figures import Labelled


def roc_curves(file: PredictionFile) -> list[Labelled]:
  """The headline of each population, and on the canaries two to compare with.

  These are a global threshold, which needs no shadow models, and the headline
  under shuffled membership: what no leakage looks like.
  """
  curves = [
    (f"LiRA, {name}", attack.headline_scores(each), each.membership)
    for name, each in _populations(file).items()
  ]
  control = attack.shuffled(file.canaries)
  return [
    *curves,
    (
      "Global threshold",
      attack.global_threshold(_logit_scores(file.canaries)),
      file.canaries.membership,
    ),
    (
      "LiRA, shuffled membership",
      attack.headline_scores(control),
      control.membership,
    ),
  ]


def losses(file: PredictionFile) -> list[Labelled]:
  """The cross-entropy of the untouched images in nats, by population."""
  # With y the label, -log p_y = log(1 + exp(-logit score)).
  return [
    (name, np.logaddexp(0, -_logit_scores(each)[:, :, 0]), each.membership)
    for name, each in _populations(file).items()
  ]


def _populations(file: PredictionFile) -> dict[str, Predictions]:
  populations = {"canaries": file.canaries}
  if file.average is not None:
    populations["average case"] = file.average
  return populations


def _logit_scores(predictions: Predictions) -> np.ndarray:
  return attack.logit_score(
    predictions.logits, predictions.labels[:, None, None]
  )
