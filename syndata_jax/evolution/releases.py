"""What Private Evolution releases, as a ledger and a statement list it."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from syndata_jax.evolution import budget
from syndata_jax.evolution.options import EvolutionOptions
from syndata_jax.privacy import Release
from syndata_jax.privacy.discrete_gaussian import TABLE_DELTA

if TYPE_CHECKING:
  from dp_accounting import DpEvent

# How far replacing a record moves a histogram: one vote less, one more.
_REPLACED = math.sqrt(2)


def votes(options: EvolutionOptions, noise: float, num_bins: int) -> Release:
  """A noisy histogram of votes.

  Args:
    options: settings.
    noise: noise multiplier, 0 for none.
    num_bins: of the histogram.
  """
  k = options.nearest
  details = f"histogram of {num_bins:,} candidates, {_said(noise)}"
  if k > 1:
    each = f"1/sqrt({k}) each"
    if options.vote_weights == "decaying":
      each = "1, 1/2, 1/4, ... over their L2 norm"
    details += f"; a record votes for {k} with {each}"
  return _release("votes", options, noise, details, k)


def counts(
  options: EvolutionOptions, noise: float, num_classes: int
) -> Release:
  """Noisy counts of the records of each class.

  Args:
    options: settings.
    noise: noise multiplier, 0 for none.
    num_classes: K.
  """
  details = f"counts of {num_classes} classes, {_said(noise)}"
  return _release("class counts", options, noise, details, 1)


def start_check(options: EvolutionOptions, noise: float) -> Release:
  """The sums of the start check, whose noise is always continuous.

  Args:
    options: settings.
    noise: noise multiplier, 0 for none.
  """
  details = f"two sums of distances, {_said(noise)}"
  continuous = dataclasses.replace(options, noise="gaussian")
  return _release("start check", continuous, noise, details, 1)


def histograms(
  options: EvolutionOptions, plan: budget.Plan
) -> tuple[Release, ...]:
  """All histograms that a run releases at most.

  Of the adaptive budget one release stands for all: its guarantee is that of
  the whole.

  Args:
    options: settings.
    plan: of the histograms.
  """
  num_bins = options.num_samples * options.fold
  if math.isinf(plan.total):
    return (votes(options, 0.0, num_bins),)
  shares = (1.0,) if plan.adaptive else plan.weights
  noises = [1 / math.sqrt(plan.total * share) for share in shares]
  return tuple(votes(options, noise, num_bins) for noise in noises)


def _said(noise: float) -> str:
  return f"noise multiplier {noise:.4g}" if noise else "no noise"


def _release(
  kind: str, options: EvolutionOptions, noise: float, details: str, k: int
) -> Release:
  mechanism = "Gaussian noise on every bin"
  if not noise:
    mechanism = "no noise"
  elif options.noise == "discrete":
    mechanism = "discrete Gaussian noise on every bin"
  is_discrete = options.noise == "discrete" and noise > 0
  return Release(
    mechanism,
    kind,
    _event(options, noise, k),
    details=(details,),
    delta=TABLE_DELTA if is_discrete else 0.0,
    replace_one_sensitivity=_REPLACED,
  )


def _event(options: EvolutionOptions, noise: float, k: int) -> DpEvent:
  import dp_accounting

  from syndata_jax.privacy.discrete_event import DiscreteGaussianDpEvent

  if not noise:
    return dp_accounting.NonPrivateDpEvent()
  if options.noise == "discrete":
    return DiscreteGaussianDpEvent(noise * math.sqrt(k), k)
  return dp_accounting.GaussianDpEvent(noise)
