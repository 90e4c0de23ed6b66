"""What a simulator's parameters are drawn and moved by: numbers and choices.

Numbers are in [0, 1] and uniform, choices are uniform, and so they stay however
often they are moved: without votes a population does not drift.
"""

import jax
import jax.numpy as jnp


def moved(
  key: jax.Array, numbers: jax.Array, degree: float | jax.Array
) -> jax.Array:
  """Numbers, each moved by a uniform step and reflected at 0 and 1.

  Args:
    key: of the steps.
    numbers: f32[...] in [0, 1].
    degree: the longest step, in [0, 1]: 0 leaves the numbers as they are, 1
      draws them anew, whatever they were.
  """
  step = jax.random.uniform(key, numbers.shape, minval=-1.0, maxval=1.0)
  there = jnp.abs(numbers + degree * step)
  return jnp.where(there > 1, 2 - there, there)


def redrawn(
  key: jax.Array, choices: jax.Array, count: int, degree: float | jax.Array
) -> jax.Array:
  """Choices, some of them drawn anew.

  Args:
    key: of the draws.
    choices: i32[...] below `count`.
    count: how many there are to choose from.
    degree: probability that one is drawn again, in [0, 1].
  """
  coin, draw = jax.random.split(key)
  again = jax.random.bernoulli(coin, degree, choices.shape)
  fresh = jax.random.randint(draw, choices.shape, 0, count)
  return jnp.where(again, fresh, choices)


def between(low: float, high: float, number: jax.Array) -> jax.Array:
  """A number of [0, 1] as one of [low, high]."""
  return low + (high - low) * number
