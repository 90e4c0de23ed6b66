"""How hard an example is for a trained network; the highest are kept.

Confident networks leave 1 - p far below the rounding of p. Where a score
needs it, it is formed as the sum of the other probabilities.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Outputs(NamedTuple):
  """What a network says of a batch, in evaluation mode."""

  # f32[B,D], what its last linear layer reads; None where no score needs it.
  embedding: jax.Array | None
  logits: jax.Array  # f32[B,K]

  def read(self) -> jax.Array:
    """The embedding, where it was asked for."""
    assert self.embedding is not None
    return self.embedding


def el2n(outputs: Outputs, labels: jax.Array) -> jax.Array:
  """Error norm ||p - onehot(y)||_2, f32[B].

  Source: Paul et al., arXiv 2107.07075, definition 2.3.
  """
  wrong = _without(jax.nn.softmax(outputs.logits), labels)
  return jnp.sqrt(wrong.sum(-1) ** 2 + (wrong**2).sum(-1))


def grand(outputs: Outputs, labels: jax.Array) -> jax.Array:
  """Norm of one example's gradient in the last linear layer, f32[B].

  Weights and bias together: ||p - onehot(y)|| * sqrt(1 + ||h||^2), the
  cross-entropy of each example by itself. The full gradient of Paul et al.,
  arXiv 2107.07075, definition 2.1, is cut to this layer as in DeepCore.
  """
  length = jnp.sqrt(1 + (outputs.read() ** 2).sum(-1))
  return el2n(outputs, labels) * length


def least_confidence(outputs: Outputs, labels: jax.Array) -> jax.Array:
  """1 - max p, f32[B]. Source: Coleman et al., arXiv 1906.11829.

  DeepCore's code (Guo et al., arXiv 2204.08499) ranks by the largest logit in
  its place, another order: no softmax is taken, so an example with two large
  logits counts as certain there, and as doubtful here.
  """
  del labels
  return _beside_the_top(outputs).sum(-1)


def entropy(outputs: Outputs, labels: jax.Array) -> jax.Array:
  """Entropy of p in nats, f32[B]. Source: Coleman et al., 1906.11829."""
  del labels
  rest, log = _beside_the_top(outputs), jax.nn.log_softmax(outputs.logits)
  doubt = rest.sum(-1)
  return -(rest * log).sum(-1) - (1 - doubt) * jnp.log1p(-doubt)


def margin(outputs: Outputs, labels: jax.Array) -> jax.Array:
  """1 - (largest p - second largest p), f32[B]. Source: as above."""
  del labels
  rest = _beside_the_top(outputs)
  return rest.sum(-1) + rest.max(-1)


SCORES = {
  "el2n": el2n,
  "entropy": entropy,
  "grand": grand,
  "least_confidence": least_confidence,
  "margin": margin,
}


def _beside_the_top(outputs: Outputs) -> jax.Array:
  logits = outputs.logits
  return _without(jax.nn.softmax(logits), logits.argmax(-1))


def _without(p: jax.Array, index: jax.Array) -> jax.Array:
  """P with the entry `index[b]` of each row at zero."""
  return jnp.where(jnp.arange(p.shape[-1]) == index[:, None], 0, p)
