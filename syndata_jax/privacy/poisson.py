"""Poisson sampling into batches of one fixed size.

A Poisson batch has no largest size short of the whole data set, a compiled
step needs one. The size is chosen so that a whole run overflows it with a
known, tiny probability, and that probability is part of delta.

Why it is simply added: fix the draws of all other examples in all steps. If
they leave room for one more in every step, the example that two neighbouring
data sets differ in can never overflow a batch, and what runs is exactly the
mechanism that is accounted, which is (epsilon, delta)-DP for every such draw.
The draws of the others are the same for both data sets, and fail to leave room
with probability at most `overflow_probability`, whatever happens then. No
factor exp(epsilon) appears.
"""

import jax
import jax.numpy as jnp
from scipy import stats

# Every example draws one 32-bit integer.
_BITS = 32


def overflow_probability(
  size: int, num_examples: int, expected_batch: int, steps: int
) -> float:
  """Bounds the probability that some step has no room for one more example.

  A union bound over steps of the binomial tail P[Bin(n, B/n) >= size].

  Args:
    size: P, rows of a padded batch.
    num_examples: n.
    expected_batch: B.
    steps: of the whole run.

  Returns:
    A probability bound in [0, 1]; 0 where size exceeds num_examples.
  """
  rate = expected_batch / num_examples
  return min(1.0, steps * float(stats.binom.sf(size - 1, num_examples, rate)))


def batch_size(
  num_examples: int, expected_batch: int, steps: int, probability: float
) -> int:
  """The smallest P whose `overflow_probability` is at most `probability`."""
  # Room for n + 1 never runs out: a neighbouring data set may be one larger.
  low, high = expected_batch - 1, num_examples + 1
  while high - low > 1:
    middle = (low + high) // 2
    chance = overflow_probability(middle, num_examples, expected_batch, steps)
    low, high = (low, middle) if chance <= probability else (middle, high)
  return high


def draw(
  key: jax.Array, num_examples: int, expected_batch: int, size: int
) -> tuple[jax.Array, jax.Array]:
  """Includes each example by its own coin.

  The coin is an integer comparison, exact for the rate floor(2^32 B/n) / 2^32;
  that is at most B/n, so accounting for B/n covers it.

  Args:
    key: of one model and step.
    num_examples: n, the examples are 0 .. n - 1.
    expected_batch: B, from 1 to n.
    size: P, rows of the result. If more examples are drawn, the last ones are
      left out.

  Returns:
    index i32[P], ascending, 0 where padded; is_padding bool[P].
  """
  drawn = coins(key, num_examples, num_examples, expected_batch)
  (index,) = jnp.nonzero(drawn, size=size, fill_value=-1)
  is_padding = index < 0
  return jnp.where(is_padding, 0, index).astype(jnp.int32), is_padding


def coins(
  key: jax.Array, count: int, num_examples: int, expected_batch: int
) -> jax.Array:
  """Which of some examples take part; see `draw` for the rate.

  Args:
    key: of one model and step.
    count: how many coins are tossed.
    num_examples: n, of the rate.
    expected_batch: B, from 1 to n.

  Returns:
    bool[count].
  """
  bits = jax.random.bits(key, (count,), jnp.uint32)
  # The largest integer that still means "included"; fits where B = n as well.
  last = (expected_batch << _BITS) // num_examples - 1
  return bits <= jnp.uint32(last)
