"""What the two pictures of an audit show, from its predictions."""

import numpy as np

from syndata_jax import attack
from syndata_jax.attack import PredictionFile, Predictions
from syndata_jax.reporting.bands import roc_band
from syndata_jax.reporting.figures import Curve, Labelled


def roc_curves(file: PredictionFile) -> list[Curve]:
  """The headline of each population, and one attack to compare it with.

  The canaries and what no leakage looks like, the dummies that no model has
  trained on, have their bands of 95%. To compare with is a global threshold,
  which needs no shadow models.
  """
  curves = [
    _headline("canaries", file.canaries, with_band=True),
    Curve(
      "Global threshold",
      attack.global_threshold(_logit_scores(file.canaries)),
      file.canaries.membership,
    ),
  ]
  if file.average is not None:
    curves.insert(1, _headline("average case", file.average, with_band=False))
  if file.dummies is not None:
    curves.append(_headline("dummies (in no model)", file.dummies, True))
  return curves


def losses(file: PredictionFile) -> list[Labelled]:
  """The cross-entropy of the untouched images in nats, by population."""
  # With y the label, -log p_y = log(1 + exp(-logit score)).
  populations = {"canaries": file.canaries, "average case": file.average}
  return [
    (name, np.logaddexp(0, -_logit_scores(each)[:, :, 0]), each.membership)
    for name, each in populations.items()
    if each is not None
  ]


def _headline(name: str, predictions: Predictions, with_band: bool) -> Curve:
  scores = attack.headline_scores(predictions)
  band = roc_band(scores, predictions.membership) if with_band else None
  return Curve(f"LiRA, {name}", scores, predictions.membership, band)


def _logit_scores(predictions: Predictions) -> np.ndarray:
  return attack.logit_score(
    predictions.logits, predictions.labels[:, None, None]
  )
