"""Stable Diffusion as API, on a tiny pipeline."""

import jax
import numpy as np
import pytest

from syndata_jax.errors import UserError
from syndata_jax.evolution import apis
from syndata_jax.evolution.apis import ApiOptions

KEY = jax.random.key(0)
LABELS = np.array([0, 0, 1, 2, 2])


@pytest.fixture(scope="module")
def api(weights):
  options = ApiOptions(
    weights=str(weights), sampling_steps=4, sampling_batch=2, guidance=1.0
  )
  return apis.create("stable_diffusion", (8, 8, 1), 3, options)


# Most of it is the import of the libraries.
@pytest.mark.slow
def test_images_of_the_pipeline_at_the_size_of_the_data(api):
  samples = api.random(KEY, LABELS)
  assert samples.shape == (5, 16, 16, 3) and samples.dtype == np.uint8
  np.testing.assert_array_equal(api.random(KEY, LABELS), samples)
  assert (api.random(jax.random.key(1), LABELS) != samples).any()
  rendered = api.render(samples)
  assert rendered.shape == (5, 8, 8, 1) and rendered.std() > 0
  assert not api.traceable and "the web" in api.public[0]


@pytest.mark.slow
def test_the_degree_is_the_strength(api):
  """Below a step nothing is done; beyond, more goes further."""
  samples = api.random(KEY, LABELS)
  vary = lambda degree: api.variation(KEY, samples, LABELS, degree)
  assert vary(0.2) is samples
  least = vary(0.25).astype(float)  # what the autoencoder makes of them
  some, most = (abs(vary(d) - least).mean() for d in (0.5, 1.0))
  assert 0 < some < most


def test_what_is_missing_is_said(tmp_path):
  cases = [
    ({}, "weights='': must be a folder of Stable Diffusion"),
    ({"weights": str(tmp_path)}, "has no model_index.json"),
    ({"class_names": ("a",)}, "class_names: has 1 names: must have 3"),
    ({"prompt": "a photo"}, "prompt='a photo': must have one {}"),
  ]
  for fields, expected in cases:
    with pytest.raises(UserError) as caught:
      apis.create("stable_diffusion", (8, 8, 1), 3, ApiOptions(**fields))
    assert expected in str(caught.value) and "\n" not in str(caught.value)
