"""The suite of the attack."""

import numpy as np

from syndata_jax import attack
from syndata_jax.benchmarks.suites import attack as suite


def test_the_loop_is_lira():
  scores, membership = suite.example(6, 8, 3)
  assert (membership.sum(axis=1) == 4).all()
  np.testing.assert_allclose(
    suite.loop(scores, membership), attack.lira(scores, membership)
  )
