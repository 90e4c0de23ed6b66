"""Formal guarantees: accounting, the mechanism of DP-SGD, its statement."""

from syndata_jax.privacy.accounting import epsilon, noise_multiplier
from syndata_jax.privacy.gaussian import (
  gaussian_delta,
  gaussian_noise_multiplier,
)
from syndata_jax.privacy.mechanism import SubsampledGaussian, calibrated
from syndata_jax.privacy.statement import PrivacyStatement, dp_sgd_statement
from syndata_jax.privacy.validate import check_delta

__all__ = [
  "PrivacyStatement",
  "SubsampledGaussian",
  "calibrated",
  "check_delta",
  "dp_sgd_statement",
  "epsilon",
  "gaussian_delta",
  "gaussian_noise_multiplier",
  "noise_multiplier",
]
