"""What a run releases before its histograms: class counts, start check."""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax.evolution import budget, releases
from syndata_jax.evolution import counts as class_counts
from syndata_jax.evolution.api import Api
from syndata_jax.evolution.embedding import Embedding
from syndata_jax.evolution.iteration import at_least
from syndata_jax.evolution.options import EvolutionOptions
from syndata_jax.evolution.population import labels_of
from syndata_jax.evolution.start_check import (
  StartCheck,
  Yardstick,
  start_check,
  yardstick,
)
from syndata_jax.keys import stream
from syndata_jax.privacy import Ledger, Release
from syndata_jax.privacy.discrete_gaussian import noise_table

# Of the noise, in the first trial of a discrete one.
_LEAST_EXCESS = 2.5e-4


class Costs(NamedTuple):
  """How the budget of a run is divided."""

  plan: budget.Plan  # of the histograms
  counts_noise: float | None  # noise multipliers; None for no such release
  check_noise: float | None


def divided(options: EvolutionOptions, delta: float) -> Costs:
  """Noise of everything that a run releases.

  Args:
    options: settings.
    delta: of all releases.
  """
  counts_noise = check_noise = None
  if options.class_shares == "private":
    share = options.counts_share
    counts_noise = budget.noise_of_share(options, delta, share)
  if options.start_check_share:
    share = options.start_check_share
    check_noise = budget.noise_of_share(options, delta, share)
  noises = [n for n in (counts_noise, check_noise) if n is not None]
  extra = sum(budget.cost(noise) for noise in noises)
  plan = budget.plan(options, delta, extra)
  return Costs(plan, counts_noise, check_noise)


def fitted(
  options: EvolutionOptions, costs: Costs, delta: float, num_classes: int
) -> Costs:
  """Costs with as much more noise as the discrete Gaussian needs.

  What is divided is exact for Gaussian noise. The discrete one is accounted by
  its loss distribution, which is rounded up: a fraction of a percent.

  Args:
    options: settings.
    costs: for Gaussian noise.
    delta: of all releases.
    num_classes: K.
  """
  if options.noise != "discrete" or not 0 < options.epsilon < math.inf:
    return costs
  excess = 0.0
  while True:
    scaled = _scaled(costs, 1 + excess)
    releases_of_run = planned(options, scaled, num_classes)
    ledger = Ledger(delta, options.neighbours, releases=releases_of_run)
    if ledger.epsilon() <= options.epsilon:
      return scaled
    excess = 2 * excess or _LEAST_EXCESS


def planned(
  options: EvolutionOptions, costs: Costs, num_classes: int
) -> tuple[Release, ...]:
  """All that a run will release at most, to be held against a ledger first.

  Args:
    options: settings.
    costs: of the run.
    num_classes: K.
  """
  listed = []
  if costs.counts_noise is not None:
    listed.append(releases.counts(options, costs.counts_noise, num_classes))
  if costs.check_noise is not None:
    listed.append(releases.start_check(options, costs.check_noise))
  return (*listed, *releases.histograms(options, costs.plan))


def sizes_by_counts(
  key: jax.Array,
  labels: np.ndarray,
  num_classes: int,
  options: EvolutionOptions,
  noise: float,
) -> tuple[tuple[int, ...], Release]:
  """Samples of each class by noisy counts, and the release they are.

  Args:
    key: of the run.
    labels: i32[N].
    num_classes: K.
    options: settings.
    noise: noise multiplier, 0 for none.
  """
  is_discrete = options.noise == "discrete"
  noisy = class_counts.noisy_counts(
    key,
    jnp.asarray(labels),
    num_classes,
    noise_table(noise) if is_discrete else at_least(noise),
  )
  sizes = class_counts.sizes_of(np.asarray(noisy), options.num_samples)
  return sizes, releases.counts(options, noise, num_classes)


def check(
  key: jax.Array,
  api: Api,
  embed: Embedding,
  records: np.ndarray,
  labels: np.ndarray,
  sizes: tuple[int, ...],
  options: EvolutionOptions,
  noise: float,
) -> tuple[StartCheck, Release]:
  """The start check: random samples against records, and its release.

  Args:
    key: of the run.
    api: the generator.
    embed: the embedding.
    records: embedded, f32[N,D].
    labels: i32[N].
    sizes: samples of each class.
    options: settings.
    noise: noise multiplier, 0 for none.
  """
  of_samples = labels_of(sizes)
  sample_labels = np.asarray(of_samples)

  def drawn(purpose: str) -> np.ndarray:
    samples = api.random(stream(key, purpose), of_samples)
    return np.asarray(embed.embed(api.render(samples)), np.float32)

  samples, fresh = (
    drawn("evolution.check.samples"),
    drawn("evolution.check.fresh"),
  )
  public = yardstick(
    key, samples, sample_labels, fresh, sample_labels, options.metric
  )
  return start_check(
    key,
    records,
    labels,
    samples,
    sample_labels,
    public,
    options.start_check_share,
    noise,
    options.metric,
  )


def answer(fields: dict[str, Any] | None) -> StartCheck | None:
  """The start check of which the fields were stored."""
  if fields is None:
    return None
  values = fields | {"yardstick": Yardstick(**fields["yardstick"])}
  return StartCheck(**values)


def _scaled(costs: Costs, scale: float) -> Costs:
  """So many times the noise."""
  plan, counts_noise, check_noise = costs
  return Costs(
    dataclasses.replace(plan, total=plan.total / scale**2),
    counts_noise and counts_noise * scale,
    check_noise and check_noise * scale,
  )


def fields_of(check: StartCheck) -> dict[str, Any]:
  """A start check ready for JSON."""
  return check._asdict() | {"yardstick": check.yardstick._asdict()}
