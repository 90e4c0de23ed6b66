"""The sampler: independent coins, binomial batch sizes, padding."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from syndata_jax.privacy import poisson

_N, _B, _P = 60, 12, 40
_DRAWS = 20_000


@functools.cache
def _included():
  """bool[draws, n], by keys of their own; checks the layout on the way."""
  ids = jnp.arange(_DRAWS)
  keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), ids)
  draw = jax.jit(jax.vmap(lambda key: poisson.draw(key, _N, _B, _P)))
  index, is_padding = map(np.asarray, draw(keys))
  assert index.shape == is_padding.shape == (_DRAWS, _P)
  assert index.dtype == np.int32 and is_padding.dtype == bool
  included = np.zeros((_DRAWS, _N), bool)
  rows, columns = np.nonzero(~is_padding)
  included[rows, index[rows, columns]] = True
  # No example twice, and padding only at the end, where it points to row 0.
  np.testing.assert_array_equal(included.sum(1), (~is_padding).sum(1))
  assert (np.diff(is_padding.astype(int), axis=1) >= 0).all()
  assert (index[is_padding] == 0).all()
  return included


def test_batch_sizes_are_binomial():
  sizes = np.bincount(_included().sum(1), minlength=_N + 1)
  expected = _DRAWS * stats.binom.pmf(np.arange(_N + 1), _N, _B / _N)
  common = expected >= 10
  rest = [counts[~common].sum() for counts in (sizes, expected)]
  test = stats.chisquare(
    np.append(sizes[common], rest[0]), np.append(expected[common], rest[1])
  )
  assert test.pvalue > 1e-3


def test_every_example_is_as_likely():
  counts = _included().sum(0)
  rate = _B / _N
  z = (counts - _DRAWS * rate) / np.sqrt(_DRAWS * rate * (1 - rate))
  assert stats.chi2.sf((z**2).sum(), _N) > 1e-3


def test_examples_and_steps_are_independent():
  """All pairs of examples in one draw, and each example in draws in a row."""
  included = _included()
  correlation = np.corrcoef(included.T)[np.triu_indices(_N, 1)]
  test = stats.kstest(correlation * np.sqrt(_DRAWS), "norm")
  assert test.pvalue > 1e-3
  rate = _B / _N
  together = (included[1:] & included[:-1]).sum()
  pairs = (_DRAWS - 1) * _N
  assert abs(together / pairs - rate**2) < 5 * rate / np.sqrt(pairs)


@pytest.mark.parametrize("n, batch", [(7, 7), (1, 1)])
def test_rate_one_takes_all(n, batch):
  index, is_padding = poisson.draw(jax.random.key(3), n, batch, n + 2)
  np.testing.assert_array_equal(index, [*range(n), 0, 0])
  np.testing.assert_array_equal(is_padding, [False] * n + [True] * 2)


def test_a_draw_too_large_leaves_out_the_last():
  index, is_padding = poisson.draw(jax.random.key(3), 9, 9, 4)
  np.testing.assert_array_equal(index, range(4))
  assert not is_padding.any()


def test_the_rate_of_the_coin():
  """Read off the threshold: the largest integer that is still included."""
  for n, batch in ((50_000, 64), (3, 1), (49_750, 2048)):
    rate = ((batch << 32) // n) / 2**32
    assert 0 <= batch / n - rate < 2**-31


def test_overflow_probability_by_simulation():
  generator = np.random.default_rng(0)
  # Some step in which the others alone fill the batch.
  sizes = generator.binomial(_N, _B / _N, (200_000, 5))
  for size in (20, 23):
    found = (sizes >= size).any(axis=1).mean()
    bound = poisson.overflow_probability(size, _N, _B, 5)
    assert found <= bound * 1.05
    assert bound <= 1.3 * found


@pytest.mark.parametrize(
  "n, batch, steps", [(50_000, 64, 19_450), (1_700, 256, 1_000), (10, 10, 3)]
)
def test_batch_size_is_the_smallest(n, batch, steps):
  size = poisson.batch_size(n, batch, steps, 1e-9)
  assert poisson.overflow_probability(size, n, batch, steps) <= 1e-9
  assert poisson.overflow_probability(size - 1, n, batch, steps) > 1e-9
  assert batch < size <= n + 1
