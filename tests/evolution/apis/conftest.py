"""Generators that were trained by nobody, a few thousand weights each."""

import jax
import numpy as np
import pytest
import tiny_pipeline

from syndata_jax.diffusion import base as bases
from syndata_jax.diffusion import model

SHAPE, CLASSES = (4, 4, 1), 3


@pytest.fixture(scope="session")
def base():
  """Away from the start of training, where it gives nothing back."""
  options = model.DiffusionOptions(
    width=16, multipliers=(1,), attention=(), label_drop=0.2
  )
  module = model.make_network(options, SHAPE, CLASSES)
  fresh = model.init(jax.random.key(0), module, SHAPE)
  random = np.random.default_rng(0)
  params = jax.tree.map(
    lambda a: np.asarray(a + 0.1 * random.normal(size=a.shape), np.float32),
    fresh,
  )
  seen = random.integers(0, 256, (5, *SHAPE), dtype=np.uint8)
  facts = {"source": "photographs", "images": 5}
  return bases.Base(options, SHAPE, CLASSES, params, facts, bases.digests(seen))


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
  """The folder of a pipeline of Stable Diffusion."""
  return tiny_pipeline.write(tmp_path_factory)
