"""Whether other budgets than the uniform one gain anything, over seeds.

A finding more than a check: start it with `-m slow -s` to read the figures.
What stands out of two standard errors of 40 seeds: at epsilon 1 the adaptive
budget gains, the decreasing one loses; at epsilon 10 all are alike; and with a
threshold that is fixed in votes the adaptive one loses. The gain is that of
spending late: the same schedule without signals has it, too.

Private points of a mixture of Gaussians in the unit square, each seed its own;
a generator that knows the square alone.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from syndata_jax.evolution import budget
from syndata_jax.evolution.api import Api
from syndata_jax.evolution.embedding import Embedding
from syndata_jax.evolution.histogram import group
from syndata_jax.evolution.iteration import advance, begin, vote
from syndata_jax.evolution.options import EvolutionOptions
from syndata_jax.evolution.signal import signal
from syndata_jax.privacy import gaussian_noise_multiplier

SAMPLES, ITERATIONS, DELTA, SEEDS = 200, 10, 1e-5, 40
VOTES, DEVIATIONS = "threshold", "threshold_deviations"
CASES = [
  (500, 1.0, {}),
  (2000, 1.0, {}),
  (2000, 10.0, {}),
  (500, 1.0, {DEVIATIONS: 1.0}),
  (2000, 1.0, {DEVIATIONS: 1.0}),
  # One standard deviation of an even share.
  (500, 1.0, {VOTES: gaussian_noise_multiplier(1.0, ITERATIONS, DELTA)}),
]
PLANE = Embedding("plane", lambda rows: rows, traceable=True)


class Square(Api):
  """Points of the unit square."""

  traceable = True

  def random(self, key, labels):
    return jax.random.uniform(key, (len(labels), 2))

  def variation(self, key, samples, labels, degree):
    step = 0.15 * degree * jax.random.normal(key, samples.shape)
    return jnp.clip(samples + step, 0, 1)


def mixture(seed, count):
  """Points f32[P,2] of eight clusters of different weight and width."""
  draw = np.random.default_rng([seed, count])
  centre, width = draw.uniform(0.1, 0.9, (8, 2)), draw.uniform(0.01, 0.05, 8)
  cluster = draw.choice(8, count, p=draw.dirichlet(np.ones(8)))
  noise = width[cluster, None] * draw.normal(size=(count, 2))
  return np.clip(centre[cluster] + noise, 0, 1).astype(np.float32)


def distance(one, other):
  """Sliced Wasserstein-1 distance of points f[P,2] and f[S,2]."""
  angle = np.linspace(0, np.pi, 32, endpoint=False)
  lines = np.stack([np.cos(angle), np.sin(angle)])
  levels = (np.arange(200) + 0.5) / 200
  quantiles = [
    np.quantile(rows @ lines, levels, axis=0) for rows in (one, other)
  ]
  return np.abs(quantiles[0] - quantiles[1]).mean()


def _chosen(is_first, first, second):
  """Rows [R,...] of the first where bool[R] says so, else of the second."""
  return jnp.where(
    is_first.reshape(-1, *(1,) * (first.ndim - 1)), first, second
  )


def evolved(points, options):
  """Final samples f32[R,S,2] of R runs, and the noise of each step."""
  runs, sizes = len(points), (SAMPLES,)
  records = jax.tree.map(
    lambda *leaves: jnp.stack(leaves),
    *(group(p, np.zeros(len(p), np.int32), 1) for p in points),
  )
  api = Square()
  start = jax.jit(jax.vmap(begin(api, options, sizes)))
  ask = jax.jit(jax.vmap(vote(api, PLANE, options, sizes), (0, 0, 0, None, 0)))
  step = jax.jit(jax.vmap(advance(api, options, sizes), (0, 0, 0, None, 0)))
  plan = budget.plan(options, DELTA)
  keys = jax.random.split(jax.random.key(1), runs)
  population = start(keys)
  signals = [[] for _ in range(runs)]
  for iteration in range(options.num_iterations):
    noises = [plan.next(seen) for seen in signals]
    goes_on = np.array([noise is not None for noise in noises])
    if not goes_on.any():
      break
    fold = functools.partial(jax.random.fold_in, data=iteration)
    key, degree = jax.vmap(fold)(keys), options.degree(iteration)
    stddev = jnp.array([1.0 if noise is None else noise for noise in noises])
    noisy = ask(population, records, key, degree, stddev)
    following = step(population, noisy, key, degree, stddev)
    choose = functools.partial(_chosen, goes_on)
    population = jax.tree.map(choose, following, population)
    for seen, votes, noise in zip(
      signals, np.asarray(noisy), noises, strict=True
    ):
      if noise is not None:
        seen.append(signal(votes, options.level(noise), noise))
  return np.asarray(population.samples), signals


@pytest.mark.slow
@pytest.mark.parametrize("count, epsilon, settings", CASES)
def test_gain_over_uniform(count, epsilon, settings):
  points = [mixture(seed, count) for seed in range(SEEDS)]
  distances, steps = {}, {}
  schedules = {name: {"budget": name} for name in budget.NAMES}
  # Where the adaptive one starts from, without its signals.
  squares = budget.weights("adaptive", ITERATIONS)
  schedules["squares"] = {"budget_weights": squares}
  for name, schedule in schedules.items():
    options = EvolutionOptions(
      epsilon=epsilon,
      delta=DELTA,
      num_samples=SAMPLES,
      num_iterations=ITERATIONS,
      **schedule,
      **settings,
    )
    samples, signals = evolved(points, options)
    distances[name] = np.array(
      [distance(p, s) for p, s in zip(points, samples, strict=True)]
    )
    steps[name] = np.mean([len(seen) for seen in signals])
  draw = np.random.default_rng(0)
  start = np.mean(
    [distance(p, draw.uniform(size=(SAMPLES, 2))) for p in points]
  )
  print(
    f"\n{count} records, epsilon {epsilon:g}, {settings};"
    f" random start {start:.4f}"
  )
  for name, values in distances.items():
    gain = distances["uniform"] - values
    error = gain.std(ddof=1) / np.sqrt(SEEDS)
    print(
      f"  {name:10s} W1 {values.mean():.4f}, less than uniform by"
      f" {gain.mean():+.4f} +- {error:.4f}, {steps[name]:.1f} steps"
    )
    assert values.mean() < start
