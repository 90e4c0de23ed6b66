"""Formal guarantees: accounting, releases, their ledger and statement."""

from syndata_jax.privacy.accounting import epsilon, noise_multiplier
from syndata_jax.privacy.composition import composed_epsilon
from syndata_jax.privacy.dp_sgd import dp_sgd_statement
from syndata_jax.privacy.gaussian import (
  gaussian_delta,
  gaussian_epsilon,
  gaussian_noise_multiplier,
)
from syndata_jax.privacy.ledger import Ledger
from syndata_jax.privacy.mechanism import SubsampledGaussian, calibrated
from syndata_jax.privacy.release import Release
from syndata_jax.privacy.statement import PrivacyStatement
from syndata_jax.privacy.validate import check_delta

__all__ = [
  "Ledger",
  "PrivacyStatement",
  "Release",
  "SubsampledGaussian",
  "calibrated",
  "check_delta",
  "composed_epsilon",
  "dp_sgd_statement",
  "epsilon",
  "gaussian_delta",
  "gaussian_epsilon",
  "gaussian_noise_multiplier",
  "noise_multiplier",
]
