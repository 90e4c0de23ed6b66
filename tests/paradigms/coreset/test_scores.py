"""Scores against NumPy in float64, and which way they point."""

import jax.numpy as jnp
import numpy as np
import pytest

from syndata_jax.paradigms.coreset.scores import SCORES, Outputs

LABELS = np.array([0, 3, 1, 1, 2, 4])


def drawn(scale=2.0):
  rng = np.random.default_rng(1)
  return rng.normal(size=(6, 7)), rng.normal(size=(6, 5)) * scale


def probabilities(logits):
  p = np.exp(logits - logits.max(-1, keepdims=True))
  return p / p.sum(-1, keepdims=True)


def reference(method, embedding, logits):
  p = probabilities(logits)
  error = p - np.eye(5)[LABELS]
  top = -np.sort(-p, axis=-1)
  if method == "el2n":
    return np.linalg.norm(error, axis=-1)
  if method == "grand":
    # The gradient itself: a row of weights and a bias for each class.
    read = np.concatenate([embedding, np.ones((6, 1))], axis=1)
    return np.linalg.norm(error[:, :, None] * read[:, None, :], axis=(1, 2))
  if method == "least_confidence":
    return 1 - top[:, 0]
  if method == "entropy":
    return -(p * np.log(p)).sum(-1)
  return 1 - (top[:, 0] - top[:, 1])


def score(method, embedding, logits):
  outputs = Outputs(
    jnp.asarray(embedding, jnp.float32), jnp.asarray(logits, jnp.float32)
  )
  return np.asarray(SCORES[method](outputs, jnp.asarray(LABELS)))


@pytest.mark.parametrize("method", SCORES)
def test_scores_equal_numpy_in_float64(method):
  embedding, logits = drawn()
  np.testing.assert_allclose(
    score(method, embedding, logits),
    reference(method, embedding, logits),
    rtol=1e-5,
  )


@pytest.mark.parametrize("method", SCORES)
def test_a_certain_and_right_network_leaves_no_ties(method):
  """With a lead of 20, 1 - p is 1e-9: below the rounding of p in float32."""
  logits = drawn(0.5)[1]
  logits[np.arange(6), LABELS] += 20
  embedding = np.zeros((6, 7))
  got = score(method, embedding, logits)
  # float64 leaves 1e-16 of 1 - p.
  want = reference(method, embedding, logits)
  np.testing.assert_allclose(got, want, rtol=1e-5)
  assert len(np.unique(got)) == 6 and got.max() < 1e-6


@pytest.mark.parametrize("method", SCORES)
def test_hard_examples_score_high(method):
  """Undecided beats decided for all; right beats wrong where labels count."""
  logits = np.zeros((6, 5))
  logits[np.arange(6), LABELS] = [9, 6, 3, 1, 0.5, 0]
  assert (np.diff(score(method, np.ones((6, 7)), logits)) > 0).all()
  if method in ("el2n", "grand"):
    wrong = np.roll(logits, 1, axis=1)
    right, off = (score(method, np.ones((6, 7)), x) for x in (logits, wrong))
    assert (off[:5] > right[:5]).all()


def test_least_confidence_is_of_probabilities():
  """Two large logits are a doubt, and one small logit among smaller is none."""
  doubt, certain = [8.0, 8.0, 0, 0, 0], [2.0, -9.0, -9.0, -9.0, -9.0]
  logits = np.array([doubt, certain] * 3)
  assert logits[0].max() > logits[1].max()  # DeepCore's order
  one, two = score("least_confidence", np.zeros((6, 7)), logits)[:2]
  assert one == pytest.approx(0.5, abs=1e-3) and two < 1e-4
