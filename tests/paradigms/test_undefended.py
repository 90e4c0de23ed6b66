"""The interface of paradigms, and the one that hides nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

from syndata_jax import models, paradigms
from syndata_jax.ensemble import Engine, Recipe, Workspace, make_layout
from syndata_jax.errors import UserError
from syndata_jax.paradigms import undefended


def engine():
  return Engine(
    model=models.create("convnet", 3, width=2, depth=1),
    recipe=Recipe(num_epochs=1, batch_size=4),
    layout=make_layout(2, devices=jax.devices()[:1]),
    mean=(0.5,),
    std=(0.5,),
    dtype=jnp.dtype("float32"),
  )


def private():
  rng = np.random.default_rng(0)
  return paradigms.Private(
    images=rng.integers(0, 256, (6, 4, 4, 1), dtype=np.uint8),
    labels=rng.integers(0, 3, 6).astype(np.int32),
    members=np.array([[0, 1, 2, 4], [0, 2, 3, 5]], np.int32),
    num_classes=3,
  )


def test_undefended_models_learn_from_their_own_members(tmp_path):
  paradigm = undefended.make(engine(), undefended.Options(), private())
  training_set = paradigm.synthesize(
    jax.random.key(0), private(), Workspace(tmp_path)
  )
  assert training_set.images is None and training_set.labels is None
  np.testing.assert_array_equal(training_set.members, private().members)


def test_a_model_never_sees_what_it_does_not_own(tmp_path):
  """Another image outside model 0's members moves model 1 alone."""
  paradigm = undefended.make(engine(), undefended.Options(), private())
  key = jax.random.key(1)

  def learned(data, name):
    return small.run(paradigm, data, key, tmp_path / name).variables["params"]

  before, data = learned(private(), "before"), private()
  data.images[5] = 255 - data.images[5]
  after = learned(data, "after")
  changed = jax.tree.map(lambda a, b: (a != b).any(), before, after)
  assert any(jax.tree.leaves(changed))
  jax.tree.map(
    lambda a, b: np.testing.assert_array_equal(a[0], b[0]), before, after
  )


def test_an_unknown_paradigm_is_named():
  with pytest.raises(
    UserError,
    match="paradigm='sgd': must be one of coreset, data_free, diffusion",
  ):
    paradigms.create("sgd", engine(), None, private())
