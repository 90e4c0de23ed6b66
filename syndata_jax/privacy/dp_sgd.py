"""The privacy statement of DP-SGD."""

from collections.abc import Sequence

from syndata_jax.privacy.ledger import Ledger
from syndata_jax.privacy.mechanism import SubsampledGaussian
from syndata_jax.privacy.statement import PrivacyStatement

# What DP-SGD reads without paying for it.
PUBLIC = (
  "normalisation constants",
  "number of examples",
  "number of classes",
  "network and hyper-parameters",
)


def dp_sgd_statement(
  mechanism: SubsampledGaussian, public: Sequence[str] = PUBLIC
) -> PrivacyStatement:
  """The statement of a run that took all the steps accounted.

  It holds for each model alone: the shadow models of an audit train on
  overlapping data, and are not meant to be released together.

  Args:
    mechanism: the one that sampled and added the noise.
    public: what was treated as public.
  """
  ledger = Ledger(mechanism.delta).add(mechanism.release())
  return ledger.statement(
    public=tuple(public),
    unit="one training example, an image with its label",
    scope="each model alone",
    assumptions=(
      "the seed of batches and noise is secret",
      "floating-point noise is Gaussian",
    ),
  )
