"""From scores to the examples that are kept."""

import jax
import numpy as np

from syndata_jax.keys import model_keys, stream


def random_orders(key: jax.Array, num_models: int, size: int) -> np.ndarray:
  """A permutation of 0..n-1 for each model, i32[M,n].

  Model i's depends on the key and i alone. One order for all models would
  keep some canaries in every model and others in none.
  """
  keys = model_keys(stream(key, "order"), num_models)
  shuffle = jax.jit(lambda key: jax.random.permutation(key, size))
  return np.stack([np.asarray(shuffle(key)) for key in keys])


def highest(
  scores: np.ndarray, group: np.ndarray, quota: np.ndarray, order: np.ndarray
) -> np.ndarray:
  """The places of the highest scores in every group of one model.

  Equal scores keep the order given: the sort is stable.

  Args:
    scores: f32[n].
    group: i32[n] in [0, G).
    quota: int[G], to keep of each group.
    order: i32[n], a permutation: who goes first among equals.

  Returns:
    int[sum of quota], ascending.
  """
  ranked = order[np.argsort(-scores[order], kind="stable")]
  highest_of_each = [
    ranked[group[ranked] == g][:number] for g, number in enumerate(quota)
  ]
  return np.sort(np.concatenate(highest_of_each))
