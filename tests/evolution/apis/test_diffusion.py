"""A diffusion model as API: the samplers of `diffusion`, batch by batch."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import variants

from syndata_jax.diffusion import base as bases
from syndata_jax.diffusion import edm, lora, model, sampler
from syndata_jax.errors import UserError
from syndata_jax.evolution import apis
from syndata_jax.evolution.apis import ApiOptions
from syndata_jax.evolution.apis import diffusion as api_of_diffusion

KEY = jax.random.key(0)
LABELS = jnp.array([0, 0, 1, 2, 2])


def make(base, adapters=None, **fields):
  options = ApiOptions(sampling_steps=6, **fields)
  return api_of_diffusion.from_base(base, options, adapters)


@pytest.mark.slow
@pytest.mark.parametrize("churn", variants.others_slow([0.0, 4.0]))
def test_a_variation_is_image_to_image_of_that_strength(base, churn):
  """One compiled program for all degrees, against one for each strength."""
  api = make(base, churn=churn)
  pixels = jnp.asarray(
    np.random.default_rng(1).integers(0, 256, (5, *base.image_shape)), "uint8"
  )
  samples = api_of_diffusion.Drawn(pixels, LABELS)
  vary = jax.jit(api.variation)
  denoise = model.denoiser(
    model.make_network(base.options, base.image_shape, 3), base.params, LABELS
  )
  first = jax.random.split(KEY, 5)[0]
  for degree in (0.0, 0.2, 0.5, 1.0):
    expected = sampler.image_to_image(
      denoise, first, model.signed(pixels), degree, edm.schedule(6), churn
    )
    got = vary(KEY, samples, LABELS, jnp.float32(degree))
    np.testing.assert_array_equal(got.condition, LABELS)
    close = np.asarray(got.images, int) - np.asarray(model.unsigned(expected))
    assert abs(close).max() <= 1
  np.testing.assert_array_equal(vary(KEY, samples, LABELS, 0.0).images, pixels)


def test_only_the_steps_of_the_strength_are_run():
  """Calls of the denoiser, counted where the program runs."""
  calls = []

  def denoise(x, sigma):
    jax.debug.callback(lambda _: calls.append(1), sigma)
    return 0.5 * x

  vary = jax.jit(
    lambda strength: sampler.redraw(
      denoise, KEY, jnp.zeros((2, 2, 2, 1)), strength, edm.schedule(10)
    )
  )
  for strength, steps in ((0.0, 0), (0.3, 3), (1.0, 10)):
    calls.clear()
    jax.block_until_ready(vary(strength))
    jax.effects_barrier()
    assert len(calls) == max(0, 2 * steps - 1)


@pytest.mark.slow
def test_random_images_are_samples_of_the_model(base):
  """Heun's sampler from noise of the largest level; parts of two images."""
  api = make(base)
  draw = jax.jit(api.random)(KEY, LABELS)
  assert draw.images.dtype == jnp.uint8 and draw.images.shape == (5, 4, 4, 1)
  np.testing.assert_array_equal(draw.condition, LABELS)
  sigmas = edm.schedule(6)
  first = apis.diffusion.stream(jax.random.split(KEY, 5)[0], "noise")
  noise = sigmas[0] * jax.random.normal(first, draw.images.shape)
  denoise = model.denoiser(
    model.make_network(base.options, base.image_shape, 3), base.params, LABELS
  )
  expected = model.unsigned(
    sampler.sample(denoise, noise.astype(jnp.float32), sigmas)
  )
  close = np.asarray(draw.images, int) - np.asarray(expected)
  assert abs(close).max() <= 1
  parts = jax.jit(make(base, sampling_batch=2).random)(KEY, LABELS).images
  assert parts.shape == draw.images.shape
  assert len(np.unique(parts, axis=0)) == 5


@pytest.mark.slow
def test_classes_of_the_base_may_be_others(base):
  """Drawn at random, and what a variation keeps."""
  api = make(base, condition="random")
  labels = jnp.full(40, 77)
  draw = jax.jit(lambda key: api.random(key, labels))(KEY)
  assert set(np.asarray(draw.condition)) == {0, 1, 2}


@pytest.mark.slow
def test_adapters_change_what_is_drawn(base):
  """Fresh ones do not."""
  fresh = lora.init(KEY, base.params, 2)
  moved = jax.tree.map(lambda a: a + 0.2, fresh)
  plain, same, other = (
    jax.jit(make(base, adapters).random)(KEY, LABELS).images.astype(int)
    for adapters in (None, fresh, moved)
  )
  assert abs(plain - same).max() <= 1
  assert abs(plain - other).max() > 5


def test_a_folder_of_another_size_or_other_classes(base, tmp_path):
  bases.save(tmp_path, base)
  options = ApiOptions(base=str(tmp_path))
  api = apis.create("diffusion", base.image_shape, 3, options)
  assert "5 images of photographs" in api.public[0]
  cases = [
    (ApiOptions(), (4, 4, 1), 3, "base='': must be the folder"),
    (options, (8, 8, 1), 3, "makes images of 4x4 pixels: must be 8x8"),
    (options, (4, 4, 3), 3, "makes images of 1 channels: must be 3"),
    (options, (4, 4, 1), 10, "has 3 classes: must have 10"),
  ]
  for given, shape, classes, expected in cases:
    with pytest.raises(UserError) as caught:
      apis.create("diffusion", shape, classes, given)
    assert expected in str(caught.value) and "\n" not in str(caught.value)
  any_class = dataclasses.replace(options, condition="random")
  assert (
    apis.create("diffusion", (4, 4, 1), 10, any_class).condition == "random"
  )


def test_a_base_that_has_seen_private_images(base):
  seen = np.random.default_rng(2).integers(0, 256, (3, 4, 4, 1), dtype=np.uint8)
  api = make(base)
  apis.refuse_private(api, seen)
  known = base._replace(seen=bases.digests(seen[:2]))
  with pytest.raises(UserError, match="base: has learned from 2 of the"):
    apis.refuse_private(make(known), seen)
