"""Checks of privacy parameters, each with one clear line."""

import math

from syndata_jax.errors import UserError

NEIGHBOURS = ("add_or_remove_one", "replace_one")


def check_epsilon(epsilon: float) -> None:
  """Raises UserError unless 0 < epsilon < infinity."""
  check_positive("epsilon", epsilon)


def check_delta(delta: float | None, num_examples: int | None = None) -> None:
  """Raises UserError unless 0 < delta < 1, and at most 1 / num_examples.

  Above 1/n the guarantee would allow to publish one random record in full.
  """
  if delta is None or not _is_number(delta) or not 0 < delta < 1:
    raise UserError(f"delta={delta}: must be between 0 and 1")
  if num_examples is not None and delta * num_examples > 1:
    raise UserError(
      f"delta={delta}: must be at most {1 / num_examples:.3g}, one over the "
      f"number of examples ({num_examples})"
    )


def check_own_delta(delta: float) -> None:
  """Raises UserError unless 0 <= delta < 1: what a release adds to delta."""
  if not _is_number(delta) or not 0 <= delta < 1:
    raise UserError(f"delta={delta}: must be at least 0 and below 1")


def check_sensitivity(value: float) -> None:
  """Raises UserError unless 0 < value <= 2, which one replaced example can."""
  if not _is_number(value) or not 0 < value <= 2:
    raise UserError(
      f"replace_one_sensitivity={value}: must be above 0 and at most 2"
    )


def check_positive(name: str, value: float) -> None:
  """Raises UserError unless 0 < value < infinity."""
  # Written so that NaN fails, here and below.
  if not _is_number(value) or not 0 < value < math.inf:
    raise UserError(f"{name}={value}: must be above 0 and finite")


def check_not_negative(name: str, value: float) -> None:
  """Raises UserError unless 0 <= value; infinity is allowed."""
  if not _is_number(value) or not value >= 0:
    raise UserError(f"{name}={value}: must be 0 or more")


def check_noise(noise_multiplier: float) -> None:
  """Raises UserError unless 0 <= noise_multiplier < infinity."""
  if not _is_number(noise_multiplier) or not 0 <= noise_multiplier < math.inf:
    raise UserError(
      f"noise_multiplier={noise_multiplier}: must be 0 or more and finite"
    )


def check_sampling(sample_rate: float, steps: int) -> None:
  """Raises UserError unless 0 < sample_rate <= 1 and steps >= 1."""
  if not _is_number(sample_rate) or not 0 < sample_rate <= 1:
    raise UserError(f"sample_rate={sample_rate}: must be above 0 and at most 1")
  check_count("steps", steps)


def check_count(name: str, value: int) -> None:
  """Raises UserError unless the value is a whole number of at least 1."""
  if not _is_number(value) or value != value // 1 or value < 1:
    raise UserError(f"{name}={value}: must be a whole number of at least 1")


def check_neighbours(neighbours: str) -> None:
  """Raises UserError unless the neighbouring relation is known."""
  if neighbours not in NEIGHBOURS:
    raise UserError(
      f"neighbours={neighbours}: must be one of {', '.join(NEIGHBOURS)}"
    )


def _is_number(value: object) -> bool:
  try:
    # Numbers of NumPy and JAX too; NaN is none.
    return not isinstance(value, bool) and float(value) == value  # type: ignore[arg-type]
  except (TypeError, ValueError):
    return False
