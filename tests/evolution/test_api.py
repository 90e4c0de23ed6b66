"""A generator that does not do what it must is one line."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from evolution_small import Dots, HostDots, run

from syndata_jax.errors import UserError
from syndata_jax.evolution import state
from syndata_jax.evolution.api import checked

KEY, LABELS = jax.random.key(0), jnp.zeros(5, jnp.int32)


class Broken(HostDots):
  def __init__(self, **methods):
    for name, method in methods.items():
      setattr(self, name, method)


def _raises(*arguments):
  raise RuntimeError("no more memory\nand so on")


@pytest.mark.parametrize(
  "methods, message",
  [
    (
      {"random": lambda key, labels: np.zeros((3, 2))},
      r"api=Broken: random gave arrays of shapes \[\(3, 2\)\]: must have a"
      " leading axis of 5",
    ),
    ({"random": lambda key, labels: "dots"}, "random gave arrays of shapes"),
    ({"random": _raises}, r"random failed \(RuntimeError: no more memory\)"),
    (
      {"variation": lambda key, samples, labels, degree: samples["points"]},
      r"variation gave float32\[5, 2\]: must be of the structure",
    ),
    (
      {"render": lambda samples: samples["points"][:2]},
      "render gave arrays of shapes",
    ),
    (
      {"inherit": lambda key, parents, weights, population: population},
      "inherit gave arrays of shapes",
    ),
  ],
)
def test_wrong_answers(methods, message):
  api = checked(Broken(**methods))
  with pytest.raises(UserError, match=message) as caught:
    samples = api.random(KEY, LABELS)
    api.variation(KEY, samples, LABELS, 0.5)
    api.render(samples)
    two = jax.tree.map(lambda leaf: leaf[:2], samples)
    api.inherit(KEY, two, jnp.zeros(5), samples)
  assert "\n" not in str(caught.value)


def test_one_that_hangs_is_not_waited_for():
  api = checked(Broken(random=lambda *_: time.sleep(30)), seconds=0.05)
  with pytest.raises(UserError, match=r"gave no answer in 0\.05 seconds"):
    api.random(KEY, LABELS)


def test_its_own_refusals_pass():
  def refuses(*arguments):
    raise UserError("money=3: spent")

  with pytest.raises(UserError, match=r"^money=3: spent$"):
    checked(Broken(random=refuses), seconds=1.0).random(KEY, LABELS)


def test_on_the_host_it_is_given_arrays_of_numpy():
  given = []

  def keeps(key, samples, labels, degree):
    given.extend([labels, degree, samples["points"]])
    return samples

  api = checked(Broken(variation=keeps))
  samples = {"points": jnp.zeros((5, 2)), "texts": np.array(["a"] * 5, object)}
  api.variation(KEY, samples, LABELS, jnp.float32(0.5))
  assert [type(value) for value in given] == [np.ndarray, float, np.ndarray]


def test_a_traceable_one_is_checked_while_it_is_traced():
  class Wide(Dots):
    def variation(self, key, samples, labels, degree):
      return jnp.concatenate([samples, samples], axis=1)

  with pytest.raises(UserError, match="api=Wide: variation gave") as caught:
    run(Wide())
  assert "\n" not in str(caught.value)


def test_a_failure_keeps_what_was_paid_for(tmp_path):
  class Tired(HostDots):
    def variation(self, key, samples, labels, degree):
      raise ConnectionError("cannot be reached")

  with pytest.raises(UserError, match=r"failed .* cannot be reached"):
    from evolution_small import HOST_POINTS

    run(Tired(), HOST_POINTS, folder=tmp_path)
  (path,) = tmp_path.iterdir()
  assert path.name == state.FILE
  with np.load(path) as stored:
    assert "noisy_000" in stored and "noisy_001" not in stored
