"""Streams are apart and the same everywhere."""

import jax
import numpy as np

from syndata_jax import keys


def test_a_host_generator_is_seeded_by_the_words_of_its_key():
  for index in range(3):
    key = jax.random.fold_in(jax.random.key(7), index)
    words = [int(word) for word in jax.random.key_data(key)]
    expected = np.random.default_rng(words).random(4)
    np.testing.assert_array_equal(keys.host(key).random(4), expected)


def test_one_of_many_keys_draws_what_it_draws_alone():
  together = jax.random.split(jax.random.key(0), 3)
  draws = [keys.host(key).integers(1 << 60) for key in together]
  assert len(set(draws)) == 3
  # As the words of all keys, read at once.
  rows = np.asarray(jax.random.key_data(together))
  expected = [np.random.default_rng(row).integers(1 << 60) for row in rows]
  assert draws == expected


def test_purposes_have_streams_of_their_own():
  key = jax.random.key(0)
  draws = {
    purpose: (
      keys.generator(0, purpose).integers(1 << 60),
      keys.host(keys.stream(key, purpose)).integers(1 << 60),
    )
    for purpose in ("learn", "synthesize")
  }
  assert len({draw for pair in draws.values() for draw in pair}) == 4
  assert draws["learn"][0] == keys.generator(0, "learn").integers(1 << 60)
  assert keys.generator(1, "learn").integers(1 << 60) != draws["learn"][0]
