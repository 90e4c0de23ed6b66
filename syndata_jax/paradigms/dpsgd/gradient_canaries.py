"""Gradient canaries: examples that a white-box audit of DP-SGD plants itself.

A canary is an example whose gradient is `clip_norm` times a direction of its
own, whatever the parameters are. A fair coin includes it; then it takes part in
every step with the sampling rate of all examples. The auditor sees what DP-SGD
is analysed to release, every noisy sum, and adds up its component along each
direction. Sources: Steinke et al., arXiv 2305.08846, section 6 (directions of
one coordinate); Andrew et al., arXiv 2302.03098 (random directions).

Here a direction has up to `_COORDINATES` random coordinates that no other
canary has, with random signs. So directions are orthonormal, the gradients of
ordinary examples move all scores alike, and a step costs some numbers a canary,
however large the network is.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from syndata_jax import keys
from syndata_jax.errors import UserError
from syndata_jax.privacy import SubsampledGaussian

# Enough that signs average what the gradients of ordinary examples add.
_COORDINATES = 64


class Directions(NamedTuple):
  """Orthonormal directions of k canaries, the same for all models."""

  coordinates: Any  # i32[k, m] of the flat parameters, each at most once
  values: Any  # f32[k, m], each row of norm 1


class Canaries(NamedTuple):
  """The canaries of one model; they are its auditor's, and not released."""

  included: jax.Array  # bool[k], by fair coins
  scores: jax.Array  # f32[k], dot products so far, in clip norms


def draw_directions(count: int, size: int) -> Directions:
  """Draws directions on the host: the same for equal arguments.

  They are public, so their seed is not that of a run.

  Args:
    count: k, at least 1.
    size: how many parameters the network has.

  Raises:
    UserError: more canaries than parameters.
  """
  if count > size:
    raise UserError(
      f"white_box_canaries={count}: must be at most {size}, the number of"
      " parameters"
    )
  each = min(size // count, _COORDINATES)
  generator = keys.generator(0, "dpsgd/canary directions")
  chosen = generator.permutation(size)[: count * each].astype(np.int32)
  signs = generator.choice([-1.0, 1.0], (count, each)) / np.sqrt(each)
  return Directions(chosen.reshape(count, each), signs.astype(np.float32))


def toss(key: jax.Array, count: int) -> Canaries:
  """Includes each of k canaries by a fair coin; nothing is seen yet.

  Args:
    key: of one model.
    count: k.
  """
  bits = jax.random.bits(keys.stream(key, "dpsgd/canary coins"), (count,))
  return Canaries(bits % 2 == 1, jnp.zeros(count))


def join(
  mechanism: SubsampledGaussian,
  key: jax.Array,
  directions: Directions,
  canaries: Canaries,
  clipped_sum: Any,
) -> Any:
  """Adds the gradients of the canaries that take part in a step.

  Args:
    mechanism: whose sampling rate and clip norm every example has.
    key: of the model and step.
    directions: of the canaries.
    canaries: of the model.
    clipped_sum: of the ordinary examples' gradients, a tree.
  """
  count = len(canaries.included)
  takes_part = mechanism.participates(key, count) & canaries.included
  gradients = jnp.where(
    takes_part[:, None], mechanism.clip_norm * directions.values, 0
  )
  flat, unravel = ravel_pytree(clipped_sum)
  joined = flat.at[directions.coordinates].add(gradients, unique_indices=True)
  return unravel(joined)


def observe(
  mechanism: SubsampledGaussian,
  directions: Directions,
  canaries: Canaries,
  noisy_mean: Any,
) -> Canaries:
  """Adds what the noisy sum of one step shows to the scores.

  Args:
    mechanism: whose divisor and clip norm are taken out again.
    directions: of the canaries.
    canaries: of the model.
    noisy_mean: what the step releases, a tree.
  """
  flat, _ = ravel_pytree(noisy_mean)
  along = (flat[directions.coordinates] * directions.values).sum(1)
  scale = mechanism.expected_batch / mechanism.clip_norm
  return canaries._replace(scores=canaries.scores + scale * along)
