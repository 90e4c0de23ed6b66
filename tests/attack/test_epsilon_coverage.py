"""The bound holds over many audits of mechanisms of known epsilon."""

import functools

import numpy as np
import pytest

from syndata_jax.attack import epsilon_lower_bound

_DELTA = 1e-5
_EPSILONS = (0.0, 1.0, 3.0)


def _tossed(generator, shape):
  return generator.random(shape) < 0.5


def _halves(generator, shape, axis=1):
  order = generator.random(shape).argsort(axis=axis).argsort(axis=axis)
  return order < shape[axis] // 2


_columns_of_halves = functools.partial(_halves, axis=0)


def _pairs_of(draw):
  def paired(generator, shape):
    heads = draw(generator, (shape[0] // 2, shape[1]))
    return np.stack([heads, ~heads], axis=1).reshape(shape)

  return paired


# Name: how membership is drawn, how many models, and the relation.
_DESIGNS = {
  "pairs in halves of 8": (_pairs_of(_halves), 8, "replace_one"),
  "pairs in halves of 16": (_pairs_of(_halves), 16, "replace_one"),
  "pairs tossed": (_pairs_of(_tossed), 8, "replace_one"),
  "rows in halves": (_halves, 8, "add_or_remove_one"),
  "columns in halves": (_columns_of_halves, 8, "replace_one"),
  "tossed": (_tossed, 8, "add_or_remove_one"),
  "one model": (_tossed, 1, "add_or_remove_one"),
}

_SHAPES = {
  "Gaussian": lambda generator, shape: generator.normal(size=shape),
  "heavy": lambda generator, shape: generator.standard_t(2, size=shape),
  "two humps": lambda generator, shape: (
    generator.normal(size=shape) + 6 * (generator.random(shape) < 0.5)
  ),
  "exponential": lambda generator, shape: generator.exponential(size=shape),
}


def _scores(generator, membership, epsilon, shape, is_paired, gap):
  """Randomised response of each coin, and what does not depend on it.

  Of a pair one answer decides about both scores.
  """
  honest = 1 / (1 + np.exp(-epsilon))
  heads = membership[::2] if is_paired else membership
  answers = heads == (generator.random(heads.shape) < honest)
  if is_paired:
    answers = np.stack([answers, ~answers], axis=1).reshape(membership.shape)
  rows, models = membership.shape
  level = 3 * generator.normal(size=(rows, 1))
  shift = 2 * generator.normal(size=(1, models))
  noise = _SHAPES[shape](generator, membership.shape)
  return gap * answers + noise + level + shift


def exceeded(design, epsilon, shape, audits, seed=0, confidence=0.95):
  """In how many audits the bound is above epsilon, and the mean bound."""
  draw, models, neighbours = _DESIGNS[design]
  generator = np.random.default_rng([seed, *design.encode(), *shape.encode()])
  above, bounds = 0, []
  for audit in range(audits):
    membership = draw(generator, (80, models))
    gap = (4.0, 40.0)[audit % 2]
    is_paired = "pairs" in design
    scores = _scores(generator, membership, epsilon, shape, is_paired, gap)
    bound = epsilon_lower_bound(
      scores, membership, _DELTA, confidence=confidence
    )
    if bound.coins:
      assert bound.neighbours == neighbours
    assert bound.epsilon <= bound.largest
    above += bound.epsilon > epsilon
    bounds.append(bound.epsilon)
  return above, float(np.mean(bounds))


@pytest.mark.parametrize("epsilon", _EPSILONS)
@pytest.mark.parametrize("design", _DESIGNS)
def test_the_bound_holds(design, epsilon):
  audits = 12
  above = sum(exceeded(design, epsilon, shape, audits)[0] for shape in _SHAPES)
  assert above <= 0.05 * audits * len(_SHAPES)


def test_a_lower_confidence_would_be_exceeded():
  """The test above can fail."""
  above, _ = exceeded("tossed", 1.0, "Gaussian", 60, confidence=0.501)
  assert above > 3


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", _EPSILONS)
@pytest.mark.parametrize("shape", _SHAPES)
@pytest.mark.parametrize("design", _DESIGNS)
def test_the_bound_holds_in_a_thousand_audits(design, shape, epsilon):
  above, mean = exceeded(design, epsilon, shape, 1_000, seed=1)
  print(f"{design} | {shape} | {epsilon} | {above / 1_000:.1%} | {mean:.2f}")
  assert above <= 50
