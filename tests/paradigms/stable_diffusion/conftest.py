"""A pipeline of the classes of Stable Diffusion, a few thousand weights."""

import pytest
import tiny_pipeline


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
  """The folder of the pipeline."""
  return tiny_pipeline.write(tmp_path_factory)
