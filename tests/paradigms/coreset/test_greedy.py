"""Herding and k-center against loops that are as slow as they are plain."""

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax.paradigms.coreset import greedy

GROUPS, PICKS = 3, 6


def embedded():
  """Thirty examples in groups of 4, 11 and 15."""
  rng = np.random.default_rng(2)
  group = rng.permutation(np.repeat([0, 1, 2], [4, 11, 15])).astype(np.int32)
  return rng.normal(size=(30, 5)) + group[:, None], group


def order_of(scores, own):
  """The picks of one group, first one first."""
  picked = [i for i in own if scores[i] > 0]
  return sorted(picked, key=lambda i: -scores[i])


def herded(embedding, own, picks):
  mean, chosen = embedding[own].mean(0), []
  while len(chosen) < min(picks, len(own)):
    target = (len(chosen) + 1) * mean - embedding[chosen].sum(0)
    left = [i for i in own if i not in chosen]
    chosen.append(
      min(left, key=lambda i: np.linalg.norm(target - embedding[i]))
    )
  return chosen


def spread(embedding, own, first, picks):
  chosen = [first]
  while len(chosen) < min(picks, len(own)):
    left = [i for i in own if i not in chosen]
    near = lambda i: min(
      np.linalg.norm(embedding[i] - embedding[c]) for c in chosen
    )
    chosen.append(max(left, key=near))
  return chosen


def k_center(key, embedding, group):
  return np.asarray(
    greedy.k_center(key, jnp.asarray(embedding), group, GROUPS, PICKS)
  )


def test_herding_equals_the_loop_in_every_group():
  embedding, group = embedded()
  scores = greedy.herding(jnp.asarray(embedding), group, GROUPS, PICKS)
  for g in range(GROUPS):
    own = np.flatnonzero(group == g).tolist()
    want = herded(embedding, own, PICKS)
    assert order_of(np.asarray(scores), own) == want
    assert np.asarray(scores)[want[0]] == PICKS


def test_herding_keeps_the_mean_better_than_chance():
  embedding, group = embedded()
  scores = np.asarray(greedy.herding(jnp.asarray(embedding), 0 * group, 1, 10))
  off = lambda rows: np.linalg.norm(embedding[rows].mean(0) - embedding.mean(0))
  rng = np.random.default_rng(3)
  chance = [off(rng.choice(30, 10, replace=False)) for _ in range(200)]
  assert off(scores > 0) < np.quantile(chance, 0.05)


def test_k_center_equals_the_loop_in_every_group():
  embedding, group = embedded()
  scores = k_center(jax.random.key(0), embedding, group)
  for g in range(GROUPS):
    own = np.flatnonzero(group == g).tolist()
    got = order_of(scores, own)
    assert got == spread(embedding, own, got[0], PICKS)


def test_the_first_centre_is_drawn():
  """A group of four: each is the first one sometimes."""
  embedding, group = embedded()
  keys = jax.random.split(jax.random.key(0), 60)
  scores = jax.vmap(
    lambda key: greedy.k_center(key, jnp.asarray(embedding), group, GROUPS, 2)
  )(keys)
  firsts = np.argwhere(np.asarray(scores)[:, group == 0] == 2)[:, 1]
  assert np.bincount(firsts, minlength=4).min() >= 5
