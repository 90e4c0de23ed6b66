"""What judges: membership inference on predictions that came from anywhere.

NumPy arrays in, NumPy arrays out. Q examples, M models, A augmented queries,
K classes; a score is high when its example looks like a member.
"""

from syndata_jax.attack import released
from syndata_jax.attack.audit import attack
from syndata_jax.attack.base import base
from syndata_jax.attack.epsilon import (
  DEFAULT_DELTA,
  GuaranteeBroken,
  check_claim,
  epsilon_lower_bound,
)
from syndata_jax.attack.exposure import Exposure, exposure
from syndata_jax.attack.forms import FORMS
from syndata_jax.attack.gaussian_run import (
  GradientCanaries,
  WhiteBoxBound,
  check_white_box_claim,
  gaussian_bound,
  white_box_bound,
)
from syndata_jax.attack.intake import Intake, take_in, take_in_arrays
from syndata_jax.attack.lira import lira, offline_lira
from syndata_jax.attack.one_run import EpsilonBound
from syndata_jax.attack.predictions import (
  Closeness,
  OtherNetwork,
  PredictionFile,
  Predictions,
  check_predictions,
  load_predictions,
  save_predictions,
)
from syndata_jax.attack.rmia import offline_rmia, rmia
from syndata_jax.attack.roc import (
  FPR_LEVELS,
  RocCurve,
  auc,
  balanced_accuracy,
  roc_curve,
  tpr_at_fpr,
)
from syndata_jax.attack.scores import (
  global_threshold,
  hinge_score,
  logit_score,
)
from syndata_jax.attack.variants import (
  Variant,
  headline,
  headline_scores,
  variant_scores,
)

__all__ = [
  "DEFAULT_DELTA",
  "FORMS",
  "FPR_LEVELS",
  "Closeness",
  "EpsilonBound",
  "Exposure",
  "GradientCanaries",
  "GuaranteeBroken",
  "Intake",
  "OtherNetwork",
  "PredictionFile",
  "Predictions",
  "RocCurve",
  "Variant",
  "WhiteBoxBound",
  "attack",
  "auc",
  "balanced_accuracy",
  "base",
  "check_claim",
  "check_predictions",
  "check_white_box_claim",
  "epsilon_lower_bound",
  "exposure",
  "gaussian_bound",
  "global_threshold",
  "headline",
  "headline_scores",
  "hinge_score",
  "lira",
  "load_predictions",
  "logit_score",
  "offline_lira",
  "offline_rmia",
  "released",
  "rmia",
  "roc_curve",
  "save_predictions",
  "take_in",
  "take_in_arrays",
  "tpr_at_fpr",
  "variant_scores",
  "white_box_bound",
]
