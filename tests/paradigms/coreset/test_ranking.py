"""From scores to what is kept."""

import jax
import numpy as np

from syndata_jax.paradigms.coreset.ranking import highest, random_orders


def test_the_highest_of_each_group_are_kept():
  scores = np.array([1, 9, 5, 7, 3, 8], np.float32)
  group = np.array([0, 1, 0, 1, 0, 1])
  order = np.arange(6)
  assert highest(scores, group, [2, 1], order).tolist() == [1, 2, 4]
  assert highest(scores, group, [0, 3], order).tolist() == [1, 3, 5]
  assert highest(scores, 0 * group, [2], order).tolist() == [1, 5]


def test_equal_scores_keep_the_order_given():
  """Many ties, as among forgetting counts, against a sort of pairs."""
  rng = np.random.default_rng(0)
  scores = rng.integers(0, 3, 200).astype(np.float32)
  order = rng.permutation(200)
  place = np.argsort(order)
  pairs = sorted(range(200), key=lambda i: (-scores[i], place[i]))
  kept = highest(scores, np.zeros(200, int), [90], order)
  assert kept.tolist() == sorted(pairs[:90])


def test_orders_are_permutations_and_differ():
  orders = random_orders(jax.random.key(0), 3, 50)
  assert (np.sort(orders, axis=1) == np.arange(50)).all()
  assert abs(np.corrcoef(orders) - np.eye(3)).max() < 0.5
  fewer = random_orders(jax.random.key(0), 2, 50)
  np.testing.assert_array_equal(fewer, orders[:2])
