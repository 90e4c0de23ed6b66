"""Fidelity figures against closed forms, SciPy, and loops over all pairs."""

import numpy as np
import pytest
import scipy.linalg

from syndata_jax.errors import UserError
from syndata_jax.images import fidelity


def random_normal(seed, dimensions):
  rng = np.random.default_rng(seed)
  mean = rng.normal(size=dimensions)
  factor = rng.normal(size=(2 * dimensions, dimensions))
  return mean, factor.T @ factor / dimensions


def as_gaussian(mean, covariance):
  return fidelity.Gaussian(mean, np.linalg.cholesky(covariance).T)


def test_frechet_distance_is_that_of_scipys_square_root():
  (m, c), (n, d) = random_normal(0, 12), random_normal(1, 12)
  root = scipy.linalg.sqrtm(c @ d)
  wanted = ((m - n) ** 2).sum() + np.trace(c + d - 2 * root.real)
  distance = fidelity.frechet_distance(as_gaussian(m, c), as_gaussian(n, d))
  assert distance == pytest.approx(wanted, rel=1e-9)


def test_frechet_distance_of_commuting_gaussians_has_a_closed_form():
  one = fidelity.Gaussian(np.array([1.0, 0.0]), np.diag([3.0, 0.0]))
  two = fidelity.Gaussian(np.array([0.0, 2.0]), np.diag([1.0, 4.0]))
  # |difference of means|^2 + sum of (difference of deviations)^2
  assert fidelity.frechet_distance(one, two) == pytest.approx(5 + 4 + 16)


@pytest.mark.parametrize("count", [7, 400])  # below, and above the dimension
def test_gaussian_has_the_moments_of_numpy(count):
  rng = np.random.default_rng(2)
  features = rng.normal(3, 2, (count, 20)) @ rng.normal(size=(20, 20))
  normal = fidelity.gaussian(features.astype(np.float32))
  np.testing.assert_allclose(normal.mean, features.mean(0), rtol=1e-4)
  np.testing.assert_allclose(
    normal.factor.T @ normal.factor,
    np.cov(features, rowvar=False),
    rtol=1e-3,
    atol=1e-3,
  )
  assert len(normal.factor) <= 20


def test_few_images_are_compared_as_well_as_many():
  # Five points in forty dimensions: both covariances are singular.
  rng = np.random.default_rng(3)
  points = rng.normal(size=(5, 40))
  one = fidelity.gaussian(points)
  assert fidelity.frechet_distance(one, one) == pytest.approx(0, abs=1e-9)
  moved = fidelity.gaussian(points + 1)
  assert fidelity.frechet_distance(one, moved) == pytest.approx(40)
  wider = fidelity.gaussian(points.mean(0) + 2 * (points - points.mean(0)))
  spread = np.trace(np.cov(points, rowvar=False))
  assert fidelity.frechet_distance(one, wider) == pytest.approx(spread)


def test_the_distance_of_one_law_falls_with_the_number_of_images():
  draw = lambda seed, count: np.random.default_rng(seed).normal(
    size=(count, 16)
  )
  real = fidelity.gaussian(draw(0, 20000))
  distance = lambda count: fidelity.frechet_distance(
    fidelity.gaussian(draw(count, count)), real
  )
  assert distance(50) > 3 * distance(500) > 6 * distance(5000)


def test_one_image_has_no_covariance():
  with pytest.raises(UserError, match="images=1: at least 2"):
    fidelity.gaussian(np.zeros((1, 3), np.float32))


def all_pairs(synthetic, real, k):
  """The four figures by loops, and distances of float64."""
  between = lambda a, b: np.array(
    [[np.linalg.norm(x - y) for y in b] for x in a]
  )
  real_radius = np.sort(between(real, real), axis=1)[:, k]
  fake_radius = np.sort(between(synthetic, synthetic), axis=1)[:, k]
  distance = between(synthetic, real)
  return fidelity.Overlap(
    precision=np.mean([(row <= real_radius).any() for row in distance]),
    recall=np.mean([(row <= fake_radius).any() for row in distance.T]),
    density=(distance <= real_radius).sum() / (k * len(synthetic)),
    coverage=np.mean(distance.min(axis=0) <= real_radius),
  )


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_overlap_is_that_of_loops_over_all_pairs(shift, monkeypatch):
  monkeypatch.setattr(fidelity, "_TILE", 16)  # several tiles, the last one part
  rng = np.random.default_rng(4)
  real = rng.normal(size=(50, 3)).astype(np.float32)
  synthetic = (0.7 * rng.normal(size=(45, 3)) + shift).astype(np.float32)
  measured = fidelity.overlap(
    fidelity.manifold(synthetic), fidelity.manifold(real)
  )
  np.testing.assert_allclose(measured, all_pairs(synthetic, real, 3), rtol=1e-6)


def test_collapse_costs_recall_and_noise_costs_precision():
  rng = np.random.default_rng(5)
  real = fidelity.manifold(rng.normal(size=(200, 4)).astype(np.float32))
  one_mode = 0.05 * rng.normal(size=(200, 4)).astype(np.float32)
  collapsed = fidelity.overlap(fidelity.manifold(one_mode), real)
  assert collapsed.precision > 0.95 and collapsed.recall < 0.1
  assert collapsed.coverage < 0.2
  far = 20 * rng.normal(size=(200, 4)).astype(np.float32)
  noisy = fidelity.overlap(fidelity.manifold(far), real)
  assert noisy.precision < 0.1 and noisy.density < 0.1


def test_a_manifold_needs_more_points_than_neighbours():
  with pytest.raises(UserError, match="images=3"):
    fidelity.manifold(np.zeros((3, 2), np.float32))
