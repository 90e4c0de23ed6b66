"""Sampler, clip norm, noise, divisor and accounting of DP-SGD in one object."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import optax

from syndata_jax import keys
from syndata_jax.errors import UserError
from syndata_jax.privacy import accounting, poisson, validate
from syndata_jax.privacy.release import Release

if TYPE_CHECKING:
  from dp_accounting import DpEvent

# The share of delta that pays for batches too large for their padding.
_OVERFLOW_SHARE = 1e-4


@dataclasses.dataclass(frozen=True)
class SubsampledGaussian:
  """DP-SGD of one model: the Poisson-subsampled Gaussian mechanism.

  In each of `steps` steps every example takes part with probability
  `expected_batch / num_examples` (`sample`), each one's gradient is clipped to
  L2 norm `clip_norm` by the caller, and the sum gets noise and is divided by
  the expected batch size (`noisy_mean`). Then all steps together are
  (`epsilon`, `delta`)-DP when one example is added or removed; the number of
  examples is taken to be public.

  Nothing here is drawn or stored: the functions are pure, may be compiled, and
  may be mapped over models, each with keys of its own.

  Attributes:
    num_examples: n, of the one training set.
    expected_batch: B, from 1 to n; the mean of the batch sizes, the divisor.
    clip_norm: C, above 0; the sum moves by at most C.
    noise_multiplier: standard deviation of the noise over C. 0 leaves clipping
      without any guarantee: epsilon is infinite.
    steps: accounted, see `refuse_more_steps`.
    delta: above 0, at most 1/n.

  Raises:
    UserError: a field that is not as above.
  """

  num_examples: int
  expected_batch: int
  clip_norm: float
  noise_multiplier: float
  steps: int
  delta: float

  def __post_init__(self) -> None:
    for name in ("num_examples", "expected_batch", "steps"):
      validate.check_count(name, getattr(self, name))
    if self.expected_batch > self.num_examples:
      raise UserError(
        f"expected_batch={self.expected_batch}: must be at most the number of "
        f"examples ({self.num_examples})"
      )
    validate.check_positive("clip_norm", self.clip_norm)
    validate.check_noise(self.noise_multiplier)
    validate.check_delta(self.delta, self.num_examples)

  @property
  def sample_rate(self) -> float:
    """The probability of one example in one step."""
    return self.expected_batch / self.num_examples

  @property
  def noise_stddev(self) -> float:
    """Standard deviation of the noise on each coordinate of the clipped sum."""
    return self.noise_multiplier * self.clip_norm

  @property
  def epsilon(self) -> float:
    """Of all steps, when one example is added or removed; in nats."""
    return self._epsilon("add_or_remove_one")

  @property
  def replace_one_epsilon(self) -> float:
    """Of all steps, when one example is replaced by another; in nats.

    The claim that an audit refutes whose two worlds have equally many
    examples, as with canaries in complementary pairs.
    """
    return self._epsilon("replace_one")

  def _epsilon(self, neighbours: str) -> float:
    return accounting.epsilon(
      self.sample_rate,
      self.noise_multiplier,
      self.steps,
      self._accounted_delta,
      neighbours,
    )

  @property
  def _accounted_delta(self) -> float:
    return self.delta * (1 - _OVERFLOW_SHARE)

  @property
  def event(self) -> DpEvent:
    """All steps, as dp-accounting composes them; overflow is not in it."""
    import dp_accounting

    step = dp_accounting.PoissonSampledDpEvent(
      self.sample_rate, dp_accounting.GaussianDpEvent(self.noise_multiplier)
    )
    return dp_accounting.SelfComposedDpEvent(step, self.steps)

  def release(self) -> Release:
    """The model, its event and the share of delta that overflow has."""
    return Release(
      mechanism="DP-SGD, Poisson-subsampled Gaussian, every step released",
      kind="model",
      event=self.event,
      details=(
        f"sampling: Poisson, rate {self.sample_rate:.4g} per step, "
        f"{self.steps:,} steps; sums divided by the expected batch",
        f"noise: {self.noise_multiplier:.4g} x clip norm {self.clip_norm:g}",
      ),
      # Exact, so that delta less this is what the epsilons here rest on.
      delta=self.delta - self._accounted_delta,
    )

  def batch_size(self, multiple: int = 1) -> int:
    """P, the rows of a padded batch.

    Args:
      multiple: P is rounded up to one of this, the size of a microbatch.
    """
    size = poisson.batch_size(
      self.num_examples,
      self.expected_batch,
      self.steps,
      self.delta * _OVERFLOW_SHARE,
    )
    return -(-size // multiple) * multiple

  def sample(
    self, key: jax.Array, multiple: int = 1
  ) -> tuple[jax.Array, jax.Array]:
    """Draws the batch of one step.

    Args:
      key: of one model and step; may be that of `noise` as well.
      multiple: as in `batch_size`.

    Returns:
      index i32[P] into the n examples, ascending, 0 where padded; is_padding
      bool[P], true at the end. See `poisson` for draws of more than P.
    """
    return poisson.draw(
      keys.stream(key, "privacy.sample"),
      self.num_examples,
      self.expected_batch,
      self.batch_size(multiple),
    )

  def participates(self, key: jax.Array, count: int) -> jax.Array:
    """Which of some examples beside the n take part in one step.

    Their sampling rate is that of the n, so that each of them has the same
    guarantee; the divisor stays B.

    Args:
      key: of one model and step; may be that of `sample` as well.
      count: how many examples.

    Returns:
      bool[count].
    """
    return poisson.coins(
      keys.stream(key, "privacy.participates"),
      count,
      self.num_examples,
      self.expected_batch,
    )

  def noise(self, key: jax.Array, tree: optax.Params) -> optax.Updates:
    """Draws the Gaussian noise of one step.

    Floating point, so a Gaussian up to rounding (Mironov, "On Significance of
    the Least Significant Bits for Differential Privacy", 2012).

    Args:
      key: of one model and step; may be that of `sample` as well.
      tree: arrays whose shapes and dtypes the noise takes.

    Returns:
      A tree like it, each leaf drawn with a key of its own.

    Raises:
      ValueError: a leaf of less than 32 bits, whose noise would be too coarse.
    """
    for leaf in jax.tree.leaves(tree):
      if jnp.finfo(leaf.dtype).bits < 32:
        raise ValueError(f"noise in {leaf.dtype}: float32 or wider needed")
    stream = keys.stream(key, "privacy.noise")
    normal = optax.tree.random_like(stream, tree, jax.random.normal)
    return jax.tree.map(lambda leaf: self.noise_stddev * leaf, normal)

  def noisy_mean(
    self, key: jax.Array, clipped_sum: optax.Updates
  ) -> optax.Updates:
    """Makes the update of one step private.

    Args:
      key: of one model and step; may be that of `sample` as well.
      clipped_sum: over the batch, of gradients clipped to `clip_norm`.

    Returns:
      (sum + noise) / B, with the expected batch size, not the drawn one.
    """
    noise = self.noise(key, clipped_sum)
    return jax.tree.map(
      lambda total, drawn: (total + drawn) / self.expected_batch,
      clipped_sum,
      noise,
    )

  def refuse_more_steps(self, steps: int) -> None:
    """Raises UserError if a run would take more steps than accounted.

    Args:
      steps: from the start of the run, those before a resume included.
    """
    if steps > self.steps:
      raise UserError(
        f"steps={steps}: must be at most {self.steps}, the number that the "
        "privacy accounting covers"
      )


def calibrated(epsilon: float, **fields: Any) -> SubsampledGaussian:
  """The mechanism with the least noise whose epsilon is within the target.

  Args:
    epsilon: the target in nats, above 0, when one example is added or removed.
    **fields: those of `SubsampledGaussian` but `noise_multiplier`.

  Raises:
    UserError: a value that is not allowed.
  """
  validate.check_epsilon(epsilon)
  # Built first without noise, so that the fields are checked.
  silent = SubsampledGaussian(noise_multiplier=0.0, **fields)
  noise = accounting.noise_multiplier(
    epsilon,
    silent.sample_rate,
    silent.steps,
    silent.delta * (1 - _OVERFLOW_SHARE),
  )
  return dataclasses.replace(silent, noise_multiplier=noise)
