"""Nearest neighbours against a loop over all pairs in float64."""

import numpy as np
import pytest

from syndata_jax.errors import UserError
from syndata_jax.images import neighbours


def _loop(queries, references, k, metric):
  """Every distance, one pair at a time."""
  distances, rows = [], []
  for query in queries.astype(np.float64):
    of_one = []
    for reference in references.astype(np.float64):
      if metric == "l2":
        of_one.append(np.sqrt(((query - reference) ** 2).sum()))
        continue
      lengths = np.linalg.norm(query) * np.linalg.norm(reference)
      of_one.append(1 - (query @ reference / lengths if lengths else 0.0))
    order = np.argsort(of_one, kind="stable")[:k]
    distances.append(np.array(of_one)[order])
    rows.append(order)
  return np.array(distances), np.array(rows)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("k", [1, 3])
def test_against_a_loop(metric, k, monkeypatch):
  """Several tiles either way, the last of each not full; a row of zeros."""
  monkeypatch.setattr(neighbours, "_QUERIES", 8)
  monkeypatch.setattr(neighbours, "_REFERENCES", 16)
  random = np.random.default_rng(0)
  queries = random.normal(3, 1, (21, 5)).astype(np.float32)
  references = random.normal(3, 1, (37, 5)).astype(np.float32)
  queries[4] = references[7] = 0
  distances, rows = neighbours.nearest(queries, references, k, metric)
  want, order = _loop(queries, references, k, metric)
  assert distances.dtype == np.float32 and rows.dtype == np.int32
  np.testing.assert_allclose(distances, want, atol=1e-6)
  np.testing.assert_array_equal(rows, order)


def test_a_copy_is_at_0_however_large_its_row():
  """Where the square of the length loses what the difference has."""
  random = np.random.default_rng(1)
  references = random.uniform(500, 501, (50, 300)).astype(np.float32)
  queries = references[::7].copy()
  queries[1] += 1e-3
  distances, rows = neighbours.nearest(queries, references, 2)
  np.testing.assert_array_equal(rows[:, 0], np.arange(0, 50, 7))
  np.testing.assert_array_equal(np.delete(distances[:, 0], 1), 0.0)
  np.testing.assert_allclose(distances[1, 0], 1e-3 * 300**0.5, rtol=0.05)
  assert (distances[:, 1] > 5).all()


def test_equally_near_ones_come_in_their_order():
  references = np.array([[1.0], [-1.0], [1.0], [5.0]])
  _, rows = neighbours.nearest(np.zeros((2, 1)), references, 4)
  assert rows.tolist() == [[0, 1, 2, 3]] * 2


def test_no_query_at_all():
  distances, rows = neighbours.nearest(np.zeros((0, 2)), np.zeros((3, 2)), 2)
  assert distances.shape == rows.shape == (0, 2)


@pytest.mark.parametrize(
  ("shapes", "arguments", "message"),
  [
    (((2, 3), (4, 3)), {"k": 5}, "k=5: must be in [1, 4]"),
    (((2, 3), (4, 3)), {"k": 0}, "k=0: must be"),
    (((2, 3), (4, 3)), {"metric": "l1"}, "metric='l1': must be one of"),
    (((2, 3), (4, 2)), {}, "queries (2, 3) and references (4, 2)"),
    (((2, 3), (0, 3)), {}, "k=1: must be in [1, 0]"),
  ],
)
def test_refusals(shapes, arguments, message):
  with pytest.raises(UserError) as error:
    neighbours.nearest(*map(np.zeros, shapes), **arguments)
  assert message in str(error.value)
