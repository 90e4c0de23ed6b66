"""Feature spaces: what they are trained on, their scale, others' files."""

import dataclasses

import jax
import numpy as np
import pytest

from syndata_jax import data
from syndata_jax.ensemble import Workspace, make_layout
from syndata_jax.errors import UserError
from syndata_jax.images import PIXELS, halves, inception, spaces, trained


@pytest.fixture(scope="module")
def digits():
  return data.load("digits")


@pytest.fixture(scope="module")
def features(digits, tmp_path_factory):
  rounds = []
  folder = tmp_path_factory.mktemp("features")
  workspace = Workspace(folder, rounds.append, every=10**9)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(spaces, "_NETWORK", {"width": 16, "norm": "batch"})
    yield trained(digits, workspace, make_layout(4)), rounds, folder


def unit(images):
  return images.astype(np.float32) / 255


def test_halves_part_every_class(digits):
  order = np.argsort(digits.test_labels, kind="stable")  # sorted by class
  ordered = dataclasses.replace(
    digits,
    test_images=digits.test_images[order],
    test_labels=digits.test_labels[order],
  )
  space, held_out = halves(ordered)
  together = np.concatenate([space.images, held_out.images])
  assert len(together) == len(digits.test_images)
  flat = lambda images: sorted(image.tobytes() for image in images)
  assert flat(together) == flat(digits.test_images)
  counts = [
    np.bincount(half.labels, minlength=10) for half in (space, held_out)
  ]
  assert np.isin(counts[0] - counts[1], (0, 1)).all()


def test_pixels_are_flattened():
  images = np.random.default_rng(0).random((3, 4, 5, 2), np.float32)
  np.testing.assert_array_equal(PIXELS.embed(images), images.reshape(3, 40))


@pytest.mark.slow
def test_features_part_the_classes_of_images_they_have_not_seen(
  digits, features
):
  space, rounds, _ = features
  first, second = halves(digits)
  known, new = space.embed(unit(first.images)), space.embed(unit(second.images))
  squared = ((new[:, None] - known[None]) ** 2).sum(-1)
  nearest = first.labels[squared.argmin(1)]
  assert (nearest == second.labels).mean() > 0.9
  assert rounds[-1].stage == "features"
  assert rounds[-1].images == 64 * -(-len(first.images) // 64)  # one model


@pytest.mark.slow
def test_features_have_unit_variance_on_the_public_half(digits, features):
  embedded = features[0].embed(unit(halves(digits).space.images))
  assert embedded.dtype == np.float32
  np.testing.assert_allclose(embedded.mean(0), 0, atol=1e-5)
  np.testing.assert_allclose(embedded.var(0).sum(), 1, rtol=1e-4)


def test_an_image_is_embedded_the_same_in_any_company(digits, features):
  space = features[0]
  images = unit(digits.test_images[:70])
  np.testing.assert_allclose(
    space.embed(images)[:3], space.embed(images[:3]), atol=1e-5
  )


@pytest.mark.parametrize("most", [512, 5])
def test_a_compiled_program_embeds_the_same(
  digits, features, monkeypatch, most
):
  """In one batch, and in several of which the last is filled up."""
  monkeypatch.setattr(spaces, "_MOST", most)
  images = unit(digits.test_images[:13])
  for space in (features[0], PIXELS):
    traced = jax.jit(lambda pixels, space=space: space.traced(pixels))(images)
    np.testing.assert_allclose(traced, space.embed(images), atol=1e-5)


def test_the_trained_space_is_read_again(digits, features):
  space, _, folder = features
  rounds = []
  again = trained(digits, Workspace(folder, rounds.append), make_layout(6))
  images = unit(digits.test_images[:8])
  np.testing.assert_array_equal(again.embed(images), space.embed(images))
  assert not rounds


def test_inception_needs_a_file(tmp_path):
  pytest.importorskip("torch")
  with pytest.raises(UserError, match="no such file"):
    inception(tmp_path / "none.pt")
  damaged = tmp_path / "damaged.pt"
  damaged.write_bytes(b"damaged")
  with pytest.raises(UserError, match="not a TorchScript file") as error:
    inception(damaged)
  assert "\n" not in str(error.value)


def test_inception_without_torch_is_one_line(monkeypatch, tmp_path):
  monkeypatch.setitem(__import__("sys").modules, "torch", None)
  with pytest.raises(UserError, match="PyTorch needed"):
    inception(tmp_path / "any.pt")


def test_inception_reads_pixels_of_0_to_255(tmp_path):
  torch = pytest.importorskip("torch")

  class Detector(torch.nn.Module):
    def forward(self, images, return_features: bool = False):
      means = images.float().mean([2, 3])
      return means if return_features else means[:, :1]

  torch.jit.script(Detector()).save(str(tmp_path / "detector.pt"))
  images = np.random.default_rng(0).random((5, 4, 4, 1), np.float32)
  means = np.rint(255 * images).mean((1, 2))
  np.testing.assert_allclose(
    inception(tmp_path / "detector.pt").embed(images),
    np.repeat(means, 3, axis=1),
    rtol=1e-5,
  )


def test_another_module_reads_299_pixels_in_unit_range(tmp_path):
  torch = pytest.importorskip("torch")

  class Sizes(torch.nn.Module):
    def forward(self, images):
      size = torch.full((len(images), 1), float(images.shape[2]))
      return torch.cat([size, images.amax([1, 2, 3])[:, None]], 1)

  torch.jit.script(Sizes()).save(str(tmp_path / "sizes.pt"))
  embedded = inception(tmp_path / "sizes.pt").embed(
    np.full((2, 6, 6, 3), 0.5, np.float32)
  )
  np.testing.assert_allclose(embedded, [[299, 0.5]] * 2, rtol=1e-6)
