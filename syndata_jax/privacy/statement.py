"""What a run with a formal guarantee says about itself."""

import dataclasses
import math
from collections.abc import Sequence

from syndata_jax.privacy.mechanism import SubsampledGaussian

# What DP-SGD reads without paying for it.
PUBLIC = (
  "normalisation constants",
  "number of examples",
  "number of classes",
  "network and hyper-parameters (their tuning is not accounted)",
)


@dataclasses.dataclass(frozen=True)
class PrivacyStatement:
  """The guarantee of one released model, and everything it rests on.

  It holds for each model alone: the shadow models of an audit train on
  overlapping data, and are not meant to be released together.

  Attributes:
    mechanism: what is released, in words.
    sampling: how batches are drawn.
    sample_rate: probability of one example in one step.
    clip_norm: L2 bound on one example's part of a sum.
    noise_multiplier: standard deviation of the noise over `clip_norm`.
    steps: noisy sums that are released.
    epsilon: when one example is added or removed, in nats; may be infinite.
    replace_one_epsilon: when one example is replaced by another, at this delta.
    delta: of both.
    public: what was treated as public.
  """

  mechanism: str
  sampling: str
  sample_rate: float
  clip_norm: float
  noise_multiplier: float
  steps: int
  epsilon: float
  replace_one_epsilon: float
  delta: float
  public: tuple[str, ...]

  def as_dict(self) -> dict:
    """Ready for JSON, which knows no infinity: no guarantee is None."""
    fields = dataclasses.asdict(self) | {"public": list(self.public)}
    for name in ("epsilon", "replace_one_epsilon"):
      if math.isinf(fields[name]):
        fields[name] = None
    return fields

  def lines(self) -> list[str]:
    """For a person to read."""
    return [
      self._guarantee(),
      f"mechanism: {self.mechanism}",
      f"sampling: {self.sampling}, rate {self.sample_rate:.4g} per step",
      f"noise: {self.noise_multiplier:.4g} x clip norm {self.clip_norm:g}, "
      f"{self.steps:,} steps",
      f"public: {', '.join(self.public)}",
      "the guarantee holds for each model alone",
    ]

  def _guarantee(self):
    if math.isinf(self.epsilon):
      return "no privacy guarantee: the noise multiplier is 0"
    return (
      f"epsilon {_rounded_up(self.epsilon)} at delta {self.delta:.3g} when one "
      "example is added or removed (when one is replaced: epsilon "
      f"{_rounded_up(self.replace_one_epsilon)})"
    )


def dp_sgd_statement(
  mechanism: SubsampledGaussian, public: Sequence[str] = PUBLIC
) -> PrivacyStatement:
  """The statement of a run that took all the steps accounted.

  Args:
    mechanism: the one that sampled and added the noise.
    public: what was treated as public.
  """
  return PrivacyStatement(
    mechanism="DP-SGD, Poisson-subsampled Gaussian, every step released",
    sampling=mechanism.sampling,
    sample_rate=mechanism.sample_rate,
    clip_norm=mechanism.clip_norm,
    noise_multiplier=mechanism.noise_multiplier,
    steps=mechanism.steps,
    epsilon=mechanism.epsilon,
    replace_one_epsilon=mechanism.replace_one_epsilon,
    delta=mechanism.delta,
    public=tuple(public),
  )


def _rounded_up(epsilon):
  """Four digits, never less than the number itself."""
  if epsilon == 0:
    return "0"
  unit = 10.0 ** (math.floor(math.log10(epsilon)) - 3)
  return f"{math.ceil(epsilon / unit) * unit:.4g}"
