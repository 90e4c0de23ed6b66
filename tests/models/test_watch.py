"""What is seen of the layers of a network that runs."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from syndata_jax.models import watch


class Unusual(nn.Dense):
  """Not the layer that it descends from."""


class Network(nn.Module):
  """Two layers that are watched, and two that are not."""

  @nn.compact
  def __call__(self, x, train=False):
    x = nn.BatchNorm()(nn.Dense(3)(x), use_running_average=not train)
    return Unusual(2)(nn.Dense(4, name="last")(inputs=x))


X = jnp.asarray(np.random.default_rng(0).normal(size=(6, 5)), jnp.float32)
VARIABLES = Network().init(jax.random.key(0), X)


def test_calls_are_recorded_in_their_order():
  with watch.calls([nn.Dense, nn.BatchNorm]) as seen:
    Network().apply(VARIABLES, X, True, mutable=["batch_stats"])
  paths = [call.module.path for call in seen]
  assert paths == [("Dense_0",), ("BatchNorm_0",), ("last",)]
  first, norm, last = seen
  np.testing.assert_array_equal(first.inputs[0], X)
  assert norm.inputs[0] is first.output and norm.inputs[1:] == (False,)
  assert last.inputs[0] is norm.output
  # What a loss on the statistics of batch norm needs.
  want = (first.output - first.output.mean(0)) / jnp.sqrt(
    first.output.var(0) + 1e-5
  )
  np.testing.assert_allclose(norm.output, want, atol=1e-4)


def test_the_network_goes_on_with_what_is_changed():
  plain = Network().apply(VARIABLES, X)
  with watch.calls([nn.Dense], lambda call: 2 * call.output) as seen:
    changed = Network().apply(VARIABLES, X)
  own = VARIABLES["params"]["Unusual_0"]
  read = seen[1].output  # recorded before the change
  np.testing.assert_allclose(
    changed, 2 * read @ own["kernel"] + own["bias"], rtol=1e-5
  )
  assert abs(changed - plain).max() > 0.1


def test_nothing_is_seen_outside_the_block():
  with watch.calls([nn.Dense]) as seen:
    pass
  Network().apply(VARIABLES, X)
  assert seen == []
