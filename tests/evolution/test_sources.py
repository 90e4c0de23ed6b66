"""Several generators of one population."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from variants import others_slow

from syndata_jax.errors import UserError
from syndata_jax.evolution.api import Api
from syndata_jax.evolution.sources import Several

LABELS = np.repeat(np.arange(2), 12).astype(np.int32)


class Disc(NamedTuple):
  centre: jax.Array  # f32[B,2]
  shade: jax.Array  # i32[B]


class Discs(Api):
  """A simulator: its samples are parameters, all to the left of 0."""

  traceable = True
  public = ("nothing",)

  def random(self, key, labels):
    centre = jax.random.uniform(key, (len(labels), 2), minval=-2, maxval=-1)
    return Disc(centre, 10 * jnp.asarray(labels))

  def variation(self, key, samples, labels, degree):
    step = degree * jax.random.uniform(key, samples.centre.shape)
    return Disc(samples.centre - step, samples.shade + 0 * jnp.asarray(labels))

  def render(self, samples):
    shade = samples.shade[:, None].astype(jnp.float32)
    return jnp.concatenate([samples.centre, shade], axis=1)


class Points(Api):
  """Its samples are what it renders, all to the right of 0."""

  traceable = True
  public = ("a pool",)

  def random(self, key, labels):
    place = jax.random.uniform(key, (len(labels), 2), minval=1, maxval=2)
    shade = 10 * jnp.asarray(labels, jnp.float32)
    return jnp.concatenate([place, shade[:, None]], axis=1)

  def variation(self, key, samples, labels, degree):
    step = degree * jax.random.uniform(key, (len(samples), 2))
    return samples.at[:, :2].add(step)


class Words(Api):
  """On the host: its samples are strings, of any length."""

  def __init__(self, word):
    self.word = word

  def random(self, key, labels):
    return np.array([f"{self.word}{y}{i}" for i, y in enumerate(labels)])

  def variation(self, key, samples, labels, degree):
    longer = [f"{sample}+" for sample in samples]
    assert all(sample.startswith(self.word) for sample in samples)
    pairs = zip(samples, labels, strict=True)
    assert all(sample[len(self.word)] == str(label) for sample, label in pairs)
    return np.array(longer)


PAIR = Several([Discs(), Points()])
RENDER, VARY = jax.jit(PAIR.render), jax.jit(PAIR.variation)


def _sources(rendered):
  return (np.asarray(rendered)[:, 0] > 0).astype(int)


def test_each_has_its_share_of_every_class_at_the_start():
  assert PAIR.traceable and PAIR.public == ("nothing", "a pool")
  samples = PAIR.random(jax.random.key(0), LABELS)
  rendered = RENDER(samples)
  np.testing.assert_array_equal(_sources(rendered), samples.source)
  np.testing.assert_array_equal(rendered[:, 2], 10 * LABELS)
  for label in (0, 1):
    assert np.bincount(samples.source[label == LABELS]).tolist() == [6, 6]


@pytest.mark.slow
@pytest.mark.parametrize("jitted", others_slow([True, False]))
def test_each_varies_its_own(jitted):
  api = Several([Discs(), Points(), Discs()])
  labels = np.repeat(np.arange(3), [7, 1, 5]).astype(np.int32)
  samples = api.random(jax.random.key(1), labels)
  samples = samples._replace(source=jnp.array([0] * 9 + [2, 0, 1, 1]))
  vary = jax.jit(api.variation) if jitted else api.variation
  varied = vary(jax.random.key(2), samples, labels, 0.5)
  before, after = (
    np.asarray(api.render(samples)),
    np.asarray(api.render(varied)),
  )
  moved = after - before
  right = np.asarray(samples.source) == 1
  assert (moved[right, :2] > 0).all() and (moved[~right, :2] < 0).all()
  np.testing.assert_array_equal(moved[:, 2], 0)
  np.testing.assert_array_equal(varied.source, samples.source)
  assert len(np.unique(moved[:, 0])) == 13  # every row its own draw
  again = vary(jax.random.key(2), samples, labels, 0.5)
  np.testing.assert_array_equal(api.render(again), after)


@pytest.mark.slow
def test_vmapped_over_shadows():
  api = Several([Discs(), Points()])
  draw = lambda key: api.render(
    api.variation(key, api.random(key, LABELS), LABELS, 0.3)
  )
  ours = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(3), 2))
  assert ours.shape == (2, 24, 3)
  np.testing.assert_array_equal(_sources(ours[0]), np.arange(24) % 2)
  assert not np.array_equal(ours[0], ours[1])


def _inherit(api, weights):
  population = api.random(jax.random.key(4), LABELS)
  rows = np.array([0, 0, 2, 2, 4, 1] + [13] * 6)  # parents of each class
  parents = jax.tree.map(lambda leaf: leaf[rows], population)
  heirs = api.inherit(jax.random.key(5), parents, weights, population)
  return population, parents, heirs


@pytest.mark.slow
@pytest.mark.parametrize(
  "api", [PAIR, Several([Words("a"), Words("b")])], ids=["traced", "host"]
)
def test_shares_follow_the_votes(api):
  weights = np.where(np.arange(24) % 2, 3.0, 1.0).astype(np.float32)
  weights[1] = 0  # never drawn, of class 0 and the second generator
  population, parents, heirs = _inherit(api, weights)
  share = 0.05 + 0.9 * np.array([1, 33 / 12]) / (1 + 33 / 12)
  expected = np.round(share * 6).astype(int)
  source = np.asarray(heirs.source)
  labels = np.asarray(heirs.labels)
  np.testing.assert_array_equal(labels, np.repeat([0, 1], 6))
  for label in (0, 1):
    assert np.bincount(source[labels == label]).tolist() == expected.tolist()
  # Those that come in are of the population, of their class and generator.
  rendered = list(map(str, np.asarray(api.render(population)).tolist()))
  rows = [
    rendered.index(str(row)) for row in np.asarray(api.render(heirs)).tolist()
  ]
  np.testing.assert_array_equal(LABELS[rows], labels)
  np.testing.assert_array_equal(np.asarray(population.source)[rows], source)
  stays = np.asarray(parents.source) == source
  assert 1 not in np.asarray(rows)[~stays]


@pytest.mark.slow
def test_the_floor_keeps_everybody_alive():
  api = PAIR
  population = api.random(jax.random.key(6), LABELS)
  for step in range(4):
    key = jax.random.key(step)
    parents = jax.tree.map(lambda leaf: leaf[jnp.arange(24)], population)
    weights = jnp.where(population.source == 1, 5.0, 0.0)
    heirs = api.inherit(key, parents, weights, population)
    population = VARY(key, heirs, LABELS, 0.1)
    for label in (0, 1):
      count = np.bincount(population.source[label == LABELS], minlength=2)
      assert count.tolist() == [1, 11]
  # It wins back what it earns.
  weights = jnp.where(population.source == 0, 5.0, 0.0)
  heirs = api.inherit(key, population, weights, population)
  assert np.bincount(heirs.source).tolist() == [22, 2]


def test_without_votes_all_are_alike():
  api = Several([Words("a"), Words("b"), Words("c")])
  _, _, heirs = _inherit(api, np.zeros(24, np.float32))
  for label in (0, 1):
    rows = np.asarray(heirs.labels) == label
    assert np.bincount(heirs.source[rows]).tolist() == [2, 2, 2]


def test_words_vary_on_the_host():
  api = Several([Words("long"), Words("b")])
  assert not api.traceable
  samples = api.random(jax.random.key(0), LABELS)
  varied = api.variation(jax.random.key(1), samples, LABELS, 0.5)
  varied = api.variation(jax.random.key(1), varied, LABELS, 0.5)
  words = api.render(varied)
  assert words[0] == "long00++" and words[1] == "b00++"
  assert words[22] == "long111++" and words[23] == "b111++"


@pytest.mark.slow
def test_a_class_smaller_than_the_generators():
  api = Several([Discs(), Points(), Discs()])
  samples = api.random(jax.random.key(0), np.zeros(2, np.int32))
  render = jax.jit(api.render)
  assert render(samples).shape == (2, 3)
  heirs = api.inherit(jax.random.key(1), samples, jnp.ones(2), samples)
  np.testing.assert_array_equal(heirs.source, [0, 1])
  labels = np.zeros(2, np.int32)
  varied = jax.jit(api.variation)(jax.random.key(2), heirs, labels, 0.1)
  np.testing.assert_array_equal(_sources(render(varied)), [0, 1])


@pytest.mark.slow
def test_one_generator_is_itself():
  api = Several([Points()])
  samples = api.random(jax.random.key(0), LABELS)
  heirs = api.inherit(jax.random.key(1), samples, jnp.ones(24), samples)
  np.testing.assert_array_equal(api.render(heirs), api.render(samples))


def test_refuses():
  with pytest.raises(UserError, match="at least one"):
    Several([])
  with pytest.raises(UserError, match=r"floor=0\.6: must be in \[0, 0\.5\]"):
    Several([Discs(), Points()], floor=0.6)

  class Wide(Points):
    def render(self, samples):
      return jnp.concatenate([samples, samples], axis=1)

  api = Several([Discs(), Wide()])
  with pytest.raises(UserError, match="apis: number 2 renders"):
    api.render(api.random(jax.random.key(0), LABELS))
