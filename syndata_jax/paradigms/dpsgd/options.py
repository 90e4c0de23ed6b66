"""Settings of DP-SGD."""

import dataclasses
import functools
from typing import Any, ClassVar

from syndata_jax import validate
from syndata_jax.ensemble import Recipe
from syndata_jax.errors import UserError
from syndata_jax.privacy import SubsampledGaussian, calibrated


@dataclasses.dataclass(frozen=True)
class Options:
  """What decides the guarantee and the result, besides the recipe.

  The recipe's batch size is the expected one of Poisson sampling; an epoch is
  n / batch size steps.

  Attributes:
    epsilon: the guarantee to reach, in nats: the noise is solved for; 0 to
      give the noise instead.
    noise_multiplier: standard deviation of the noise on the sum, over the clip
      norm; 0 to give epsilon instead.
    delta: of the guarantee; at most one over the number of examples.
    clip_norm: the largest L2 norm of one example's gradient.
    augmentation_multiplicity: views of an example whose gradients are averaged
      before clipping (De et al., arXiv 2204.13650, section 3.2).
    ema_decay: of the average over parameters that is released; it starts at
      (1 + t) / (10 + t). 0 to release the last parameters.
    white_box_canaries: gradient canaries of each model, for an audit that sees
      every noisy sum; 0 for none. Each is one more example: a fair coin of its
      own includes it, and then it has the sampling rate, clip norm and
      guarantee of all others, while rate and divisor stay those of the n
      ordinary examples; their number is public. They are noise to the network,
      which is then one to audit and not one to release. They test sampling,
      noise and divisor, not clipping: their gradients have the clip norm.
    microbatch: examples whose gradients are held apart at once on each model;
      0 for a quarter of the expected batch, at most 512 views.
  """

  ALTERNATIVES: ClassVar = (("epsilon", "noise_multiplier"),)

  epsilon: float = 0.0
  noise_multiplier: float = 0.0
  delta: float = 0.0
  clip_norm: float = 1.0
  augmentation_multiplicity: int = 8
  ema_decay: float = 0.9999
  white_box_canaries: int = 0
  microbatch: int = 0

  def __post_init__(self) -> None:
    if (self.epsilon > 0) == (self.noise_multiplier > 0):
      raise UserError(
        f"epsilon={self.epsilon:g}, noise_multiplier={self.noise_multiplier:g}:"
        " set one of them above 0 and the other to 0"
      )
    validate.at_least(
      1, augmentation_multiplicity=self.augmentation_multiplicity
    )
    validate.within(0, 1, "[)", ema_decay=self.ema_decay)
    validate.not_negative(
      microbatch=self.microbatch, white_box_canaries=self.white_box_canaries
    )


@functools.lru_cache
def mechanism(
  options: Options, recipe: Recipe, num_examples: int
) -> SubsampledGaussian:
  """Sampler, clipping, noise and accounting of the whole training.

  Args:
    options: with the noise, or with the epsilon to solve it for.
    recipe: its batch size is the expected one.
    num_examples: n, of one model.

  Raises:
    UserError: a setting that the mechanism does not allow.
  """
  if recipe.batch_size > num_examples:
    raise UserError(
      f"batch_size={recipe.batch_size}: must not exceed the {num_examples}"
      " examples of one model"
    )
  fields: dict[str, Any] = {
    "num_examples": num_examples,
    "expected_batch": recipe.batch_size,
    "clip_norm": options.clip_norm,
    "steps": recipe.num_epochs * expected_steps(recipe, num_examples),
    "delta": options.delta,
  }
  if options.epsilon > 0:
    return calibrated(options.epsilon, **fields)
  return SubsampledGaussian(noise_multiplier=options.noise_multiplier, **fields)


def expected_steps(recipe: Recipe, num_examples: int) -> int:
  """Steps of an epoch: an example is drawn in them once on average, rounded."""
  return max(1, round(num_examples / recipe.batch_size))
