"""Scores against one-example-at-a-time formulas."""

import numpy as np
import pytest
from scipy.special import logsumexp

from syndata_jax.attack import hinge_score, logit_score


def _loop(logits, labels, score):
  """One score at a time, with the true class left out of the others."""
  flat = np.asarray(logits, np.float64).reshape(-1, logits.shape[-1])
  labels = np.broadcast_to(labels, logits.shape[:-1]).ravel()
  rest = {"hinge": np.max, "logit": logsumexp}[score]
  values = [
    z[y] - rest(np.delete(z, y)) for z, y in zip(flat, labels, strict=True)
  ]
  return np.reshape(values, logits.shape[:-1])


SCORES = [(hinge_score, "hinge"), (logit_score, "logit")]
DTYPES = [np.float16, np.float32, np.float64]


@pytest.mark.parametrize("function, name", SCORES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [2, 10])
def test_equals_the_formula(function, name, dtype, classes):
  rng = np.random.default_rng(0)
  logits = rng.normal(0, 5, (6, 4, 3, classes)).astype(dtype)
  labels = rng.integers(0, classes, 6)[:, None, None]
  result = function(logits, labels)
  assert result.shape == (6, 4, 3)
  assert result.dtype == np.float64
  np.testing.assert_allclose(result, _loop(logits, labels, name), rtol=1e-12)


@pytest.mark.parametrize("function, name", SCORES)
@pytest.mark.parametrize("shape", [(5, 1), (1, 4), (5, 4), (4,), ()])
def test_labels_broadcast_against_the_leading_axes(function, name, shape):
  rng = np.random.default_rng(1)
  logits = rng.normal(size=(5, 4, 3))
  labels = rng.integers(0, 3, shape)
  expected = _loop(logits, labels, name)
  np.testing.assert_allclose(function(logits, labels), expected, rtol=1e-12)


@pytest.mark.parametrize("function, name", SCORES)
def test_leaves_its_input_alone(function, name):
  logits = np.random.default_rng(2).normal(size=(5, 4, 3))
  labels = np.arange(5)[:, None] % 3
  before = logits.copy()
  function(logits, labels)
  np.testing.assert_array_equal(logits, before)
  logits.flags.writeable = False
  np.testing.assert_allclose(
    function(logits, labels), _loop(logits, labels, name), rtol=1e-12
  )


@pytest.mark.parametrize("function, name", SCORES)
def test_extreme_logits_neither_overflow_nor_saturate(function, name):
  largest = np.finfo(np.float32).max
  logits = np.array(
    [
      [largest, -largest, 0],
      [-largest, largest, 0],
      [1e4, 0, 0],
      [1e4 + 1, 0, 0],
      [-1e4, 0, 0],
      [7, 7, 7],
    ],
    np.float32,
  )
  with np.errstate(all="raise", under="ignore"):
    result = function(logits, np.zeros(6, int))
  np.testing.assert_allclose(result, _loop(logits, 0, name), rtol=1e-12)
  assert result[3] - result[2] == pytest.approx(1)


def test_the_logit_score_is_the_log_odds_of_the_softmax():
  logits = np.random.default_rng(3).normal(size=(50, 10))
  labels = np.arange(50) % 10
  odds = np.exp(logits - logsumexp(logits, axis=-1, keepdims=True))
  p = odds[np.arange(50), labels]
  np.testing.assert_allclose(logit_score(logits, labels), np.log(p / (1 - p)))


@pytest.mark.parametrize("function, name", SCORES)
@pytest.mark.parametrize(
  "classes, labels, message",
  [
    (3, [0, 3], r"0\.\.3: 0\.\.2 allowed"),
    (3, [-1, 0], r"-1\.\.0: 0\.\.2 allowed"),
    (3, [0.0, 1.0], "float64: integers needed"),
    (1, [0, 0], "at least 2 needed"),
  ],
)
def test_refuses_bad_labels(function, name, classes, labels, message):
  with pytest.raises(ValueError, match=message):
    function(np.zeros((2, classes)), np.array(labels))
