"""LiRA against the plain double loop that the attack is usually written as."""

import math
from functools import partial

import numpy as np

from syndata_jax import keys
from syndata_jax.attack import lira
from syndata_jax.benchmarks.harness.record import (
  Agenda,
  Contender,
  Job,
  measure,
)

EXAMPLES, MODELS, VIEWS = 500, 32, 18


def suite(quick: bool, rounds: int) -> Agenda:
  """One audit of 500 canaries, 32 models and 18 views."""
  # Slow as the loop is, the whole of it fits into the quick run: nothing here
  # is extrapolated.
  del quick
  scores, membership = example(EXAMPLES, MODELS, VIEWS)
  work = EXAMPLES * MODELS
  contenders = [
    Contender(
      "syndata_jax", False, lambda: Job(lambda: lira(scores, membership), work)
    ),
    Contender(
      "Python loop", True, lambda: Job(lambda: loop(scores, membership), work)
    ),
  ]
  case = partial(
    measure,
    f"{EXAMPLES} canaries, {MODELS} models, {VIEWS} views, float64",
    {
      "examples": EXAMPLES,
      "models": MODELS,
      "views": VIEWS,
      "precision": "float64",
    },
    contenders,
    rounds,
  )
  notes = (
    "LiRA, leave-one-out, per-example variance, on random scores; one score"
    " is one canary against one model, over all views.",
    "The loop visits every canary and model and calls NumPy over the views;"
    " both were run whole.",
  )
  return Agenda("LiRA", "scores/s", notes, (case,))


def example(
  examples: int, models: int, views: int
) -> tuple[np.ndarray, np.ndarray]:
  """Random scores f64[Q,M,A], and membership bool[Q,M] of half the models."""
  draw = keys.generator(0, "benchmarks/attack")
  scores = draw.normal(size=(examples, models, views))
  half = np.tile(np.arange(models) < models // 2, (examples, 1))
  return scores, draw.permuted(half, axis=1)


def loop(scores: np.ndarray, membership: np.ndarray) -> np.ndarray:
  """What `attack.lira` computes, one canary and one target at a time."""
  examples, models, _ = scores.shape
  ratio = np.empty((examples, models))
  for target in range(models):
    others = np.arange(models) != target
    for i in range(examples):
      density = []
      for side in (membership[i], ~membership[i]):
        rest = scores[i, side & others]  # [models on this side, A]
        mean, std = rest.mean(0), rest.std(0, ddof=1) + 1e-30
        z = (scores[i, target] - mean) / std
        density.append(-z * z / 2 - np.log(std) - math.log(2 * math.pi) / 2)
      ratio[i, target] = np.mean(density[0] - density[1])
  return ratio
