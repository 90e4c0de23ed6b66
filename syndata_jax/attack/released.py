"""The attack on released images alone: no model is asked anything.

The score of an example is how close the images of a model come to it, in a
space such as pixels. It is judged as the score of a model's answer is, with the
same LiRA, so that the two can be compared. That images near an example speak
for its membership is the idea of distance to the closest record; calibrated by
other releases, that of LiRA. Figures of both attacks are on one population.
"""

from typing import Any

import numpy as np

from syndata_jax.attack import roc
from syndata_jax.attack.intervals import Resampled
from syndata_jax.attack.predictions import Predictions


def as_predictions(
  closeness: np.ndarray, membership: np.ndarray
) -> Predictions:
  """What has the closeness for its score, hinge and logit alike.

  Args:
    closeness: f32[Q, M]; high where a model's images are close.
    membership: bool[Q, M].
  """
  logits = np.stack([closeness, np.zeros_like(closeness)], axis=-1)
  labels = np.zeros(len(closeness), np.int32)
  return Predictions(logits[:, :, None], labels, membership)


def distances(
  closeness: np.ndarray, membership: np.ndarray
) -> dict[str, float]:
  """Mean distance to a model's images of its members, and of the others.

  Args:
    closeness: f32[Q, M], minus the distance.
    membership: bool[Q, M], with members and non-members.
  """
  away = -np.asarray(closeness, np.float64)
  return {
    "members": float(away[membership].mean()),
    "nonmembers": float(away[~membership].mean()),
  }


def strongest(
  judgements: dict[str, Resampled], confidence: float, choices: int
) -> dict[str, Any]:
  """At each FPR the space whose corrected lower end is the highest.

  Args:
    judgements: of the canaries, by the space; at least one.
    confidence: of all of them together.
    choices: attacks that were looked at, those on the models among them: each
      has an equal share of the error (Bonferroni).

  Returns:
    By the FPR as text: `space`, `value`, `low` and `choices`.
  """
  corrected = 1 - (1 - confidence) / choices
  names = list(judgements)
  lows = np.array([judgements[n].interval(corrected)[0] for n in names])
  best = {}
  for level, fpr in enumerate(roc.FPR_LEVELS):
    index = int(lows[:, level].argmax())
    best[str(fpr)] = {
      "space": names[index],
      "value": float(judgements[names[index]].value[level]),
      "low": float(lows[index, level]),
      "choices": choices,
    }
  return best
