"""Random rows, variations, and what is released of them."""

import adult_like
import jax
import jax.numpy as jnp
import numpy as np
import packets
import pytest

from syndata_jax.evolution import tables
from syndata_jax.evolution.tables import schema as schemas
from syndata_jax.evolution.tables.rows import Rows

ADULT = schemas.from_dict(adult_like.SCHEMA)
PACKETS = schemas.load(packets.SCHEMA)
API = tables.TableApi(ADULT)
LABELS = jnp.zeros(4000, jnp.int32)
# Compiled as one: piece by piece they take longer.
RANDOM, VARIATION = jax.jit(API.random), jax.jit(API.variation)
KEY = jax.random.key(0)


def test_random_rows_are_uniform_in_the_domain():
  rows = RANDOM(KEY, LABELS)
  counts = [
    np.histogram(column, 10, (0, 1))[0] for column in np.asarray(rows.floats).T
  ]
  counts += [
    np.bincount(column, minlength=len(each.values))
    for column, each in zip(rows.categories.T, ADULT.categories, strict=True)
  ]
  assert [len(each) for each in counts] == [10, 10, 10, 4, 5, 3]
  for each in counts:
    expected = len(LABELS) / len(each)
    assert each.sum() == len(LABELS)
    assert np.abs(each - expected).max() < 5 * np.sqrt(expected)


def test_a_variation_goes_as_far_as_its_degree():
  rows = RANDOM(KEY, LABELS)
  varied = VARIATION(jax.random.key(1), rows, LABELS, 0.2)
  moves = np.asarray(varied.floats - rows.floats)
  assert np.abs(moves).max() <= 0.2 + 1e-6
  inner = np.abs(np.asarray(rows.floats) - 0.5) < 0.3
  assert np.std(moves[inner]) == pytest.approx(0.2 / np.sqrt(3), rel=0.05)
  # A category that is drawn anew is the same by chance in one of `size`.
  differs = np.mean(np.asarray(varied.categories != rows.categories), axis=0)
  sizes = np.array([len(each.values) for each in ADULT.categories])
  np.testing.assert_allclose(differs, 0.2 * (1 - 1 / sizes), atol=0.03)


def test_no_degree_no_change():
  rows = RANDOM(KEY, LABELS)
  varied = VARIATION(KEY, rows, LABELS, 0.0)
  jax.tree.map(np.testing.assert_array_equal, varied, rows)


def test_integers_are_whole_on_release_and_free_before():
  rows = RANDOM(KEY, LABELS)
  released = API.render(rows)
  ages = np.asarray(released.floats, np.float64)[:, 0] * 73
  np.testing.assert_allclose(ages, np.round(ages), atol=1e-4)
  assert len(np.unique(np.round(ages))) == 74
  np.testing.assert_array_equal(released.floats[:, 2], rows.floats[:, 2])
  assert len(np.unique(rows.floats[:, 0])) > 1000


def test_an_integer_of_a_logarithmic_scale_is_whole_on_release():
  schema = schemas.from_dict(
    {
      "columns": [
        {
          "name": name,
          "type": "integer",
          "minimum": 1,
          "maximum": 1000,
          "scale": name,
        }
        for name in ("log", "log1p")
      ]
    }
  )
  api = tables.TableApi(schema)
  floats = jax.jit(lambda key: api.render(api.random(key, LABELS)))(KEY).floats
  for column, units in zip(schema.numbers, np.asarray(floats).T, strict=True):
    values = column.values(units.astype(np.float64))
    np.testing.assert_allclose(values, np.round(values), rtol=1e-5)


def _obeys(rows: Rows) -> np.ndarray:
  """The rules of packets.json once more, by hand."""
  protocol, flags, port = np.asarray(rows.categories).T
  source, length = (
    column.released(units)
    for column, units in zip(
      PACKETS.numbers[:2], np.asarray(rows.floats).T, strict=False
    )
  )
  tcp, udp, icmp = protocol == 0, protocol == 1, protocol == 2
  good = ~icmp | ((flags == 0) & (source == 0) & (port == 0))
  good &= ~udp | ((flags == 0) & (source > 0) & (port > 0))
  good &= ~tcp | ((flags > 0) & (source > 0) & (port > 0) & (length >= 40))
  return good & (~np.isin(flags, (1, 2)) | ((length >= 40) & (length <= 60)))


@pytest.mark.slow
def test_validity_is_restored_after_mutation(tmp_path):
  generator = np.random.default_rng(0)
  sizes = [len(column.values) for column in PACKETS.categories]
  rows = Rows(
    generator.random((4000, len(PACKETS.numbers)), np.float32),
    generator.integers(0, sizes, (4000, len(sizes)), np.int32),
  )
  assert _obeys(rows).mean() < 0.5
  api = tables.TableApi(PACKETS)

  @jax.jit
  def run(key):
    begun = api.render(api.random(key, LABELS))
    varied = api.render(api.variation(key, begun, LABELS, 0.5))
    obeyed = [rule.obeyed(varied) for rule in PACKETS.rules]
    return begun, varied, jnp.array(obeyed)

  begun, varied, obeyed = run(KEY)
  assert _obeys(begun).all() and _obeys(varied).all()
  assert np.all(obeyed)
  render = jax.jit(api.render)
  assert _obeys(render(rows)).all()
  # What the generator of the tests makes is valid, and is left alone.
  path = packets.packets(tmp_path / "packets.csv", 500, seed=0)
  real = tables.read(path, PACKETS).rows
  assert _obeys(real).all()
  jax.tree.map(
    lambda one, two: np.testing.assert_allclose(one, two, atol=1e-6),
    render(real),
    real,
  )


def test_a_projection_of_ones_own():
  api = tables.TableApi(
    ADULT, lambda rows: rows._replace(floats=rows.floats.at[:, 1].set(0.5))
  )
  varied = jax.jit(api.variation)(KEY, RANDOM(KEY, LABELS), LABELS, 0.5)
  assert (np.asarray(varied.floats)[:, 1] == 0.5).all()


@pytest.mark.slow
def test_it_is_traceable():
  def run(key):
    rows = RANDOM(key, LABELS[:5])
    return API.render(API.variation(key, rows, LABELS[:5], 0.3))

  keys = jax.random.split(KEY, 3)
  together = jax.jit(jax.vmap(run))(keys)
  alone = jax.jit(run)(keys[1])
  jax.tree.map(
    lambda several, one: np.testing.assert_allclose(several[1], one, atol=1e-6),
    together,
    alone,
  )


def test_squared_distances_are_those_of_numbers_and_mismatches():
  rows = RANDOM(KEY, LABELS[:40])
  weight = 0.4
  embedded = np.asarray(tables.table_embedding(ADULT, weight).embed(rows))
  assert embedded.shape == (40, 3 + 4 + 5 + 3)
  floats, codes = (np.asarray(part, np.float64) for part in rows)
  numeric = np.square(floats[:, None] - floats).sum(-1)
  mismatches = (codes[:, None] != codes).sum(-1)
  np.testing.assert_allclose(
    np.square(embedded[:, None] - embedded).sum(-1),
    numeric + 2 * weight**2 * mismatches,
    atol=1e-5,
  )


@pytest.mark.parametrize("kind", ["number", "category"])
def test_a_table_of_one_kind_of_columns(kind):
  fields = {"values": ["a", "b"]}
  if kind == "number":
    fields = {"minimum": 0, "maximum": 1}
  schema = schemas.from_dict(
    {"columns": [{"name": "x", "type": kind, **fields}]}
  )
  api = tables.TableApi(schema)

  @jax.jit
  def run(key):
    rows = api.variation(key, api.random(key, LABELS[:7]), LABELS[:7], 0.5)
    return tables.table_embedding(schema).embed(api.render(rows))

  embedded = run(KEY)
  assert embedded.shape == (7, 1 if kind == "number" else 2)
