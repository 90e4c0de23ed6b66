"""PyTorch's siamese augmentation does what ours does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from syndata_jax.benchmarks.pytorch import siamese
from syndata_jax.paradigms.distillation import siamese as siamese_of_ours

torch = pytest.importorskip("torch", reason="the peers need PyTorch")

COUNT, SHAPE = 4, (8, 8)
# The least, a middle and the most that is drawn; each image has its own.
PARAMETERS = {
  "color": {
    "brightness": [-0.5, 0.1, 0.5, 0],
    "saturation": [0, 0.7, 2, 1],
    "contrast": [0.5, 1.2, 1.5, 1],
  },
  "crop": {"dy": [-1, 0, 1, 1], "dx": [1, 0, -1, 1]},
  "cutout": {"y": [0, 3, 8, 8], "x": [8, 4, 0, 8]},
  "flip": {"mirrored": [True, False, True, False]},
  "scale": {"sy": [1 / 1.2, 1, 1.2, 1.1], "sx": [1.2, 1.05, 1, 1 / 1.2]},
  "rotate": {"angle": [-0.26, 0, 0.1, 0.26]},
}


def images():
  random = np.random.default_rng(0)
  return random.normal(size=(COUNT, *SHAPE, 3)).astype(np.float32)


def theirs(view, x):
  """A view of images [B,H,W,C]."""
  turned = torch.from_numpy(np.moveaxis(x, -1, -3).copy())
  return np.moveaxis(view(turned).numpy(), -3, -1)


@pytest.mark.parametrize("name", siamese_of_ours.OPERATIONS)
def test_operations_are_ours(name):
  x = images()
  parameters = {
    key: np.array(values, np.asarray(values).dtype.str.replace("f8", "f4"))
    for key, values in PARAMETERS[name].items()
  }
  ours = jax.vmap(
    lambda image, given: getattr(siamese_of_ours, name)(image, **given)
  )(jnp.asarray(x), parameters)
  tensors = {key: torch.from_numpy(a) for key, a in parameters.items()}
  view = lambda images: getattr(siamese, name)(images, **tensors)
  np.testing.assert_allclose(theirs(view, x), ours, atol=1e-5)
  # One draw for all images takes a way of its own.
  first = {key: tensor[:1] for key, tensor in tensors.items()}
  alike = theirs(lambda images: getattr(siamese, name)(images, **first), x)
  np.testing.assert_allclose(alike[0], ours[0], atol=1e-5)


@pytest.mark.parametrize("count", [1, COUNT])
@pytest.mark.parametrize("name", siamese_of_ours.OPERATIONS)
def test_what_is_drawn_is_in_range(name, count):
  torch.manual_seed(0)
  limits = PARAMETERS[name]
  for _ in range(50):
    drawn = siamese.draw((name,), count, SHAPE, "cpu").keywords
    for key, values in limits.items():
      assert len(drawn[key]) == count
      most, least = max(values), min(values)
      assert (least - 2e-3 <= drawn[key]).all()
      assert (drawn[key] <= most + 2e-3).all()


def test_without_operations_nothing_changes():
  x = images()
  np.testing.assert_array_equal(theirs(siamese.draw((), 1, SHAPE, "cpu"), x), x)
