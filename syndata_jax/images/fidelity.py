"""How close synthetic images are to real ones in a space, as distributions.

The real images should be held out: neither a model nor the space has seen them,
so that copies of the private images are worth no more than other good images.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax import lax

from syndata_jax import validate
from syndata_jax.errors import UserError
from syndata_jax.images.neighbours import nearest

NEIGHBOURS = 3  # k of the manifolds, as in Kynkaanniemi et al.
_TILE = 1024  # queries, and references, that are compared at once


class Gaussian(NamedTuple):
  """A normal distribution; `factor.T @ factor` is its covariance.

  Attributes:
    mean: f64[D].
    factor: f64[R,D], R at most D.
  """

  mean: np.ndarray
  factor: np.ndarray


def gaussian(features: np.ndarray) -> Gaussian:
  """That with the mean and the unbiased covariance of features f[P,D].

  Raises:
    UserError: fewer than two of them.
  """
  count, size = features.shape
  if count < 2:
    raise UserError(f"images={count}: at least 2 needed for a covariance")
  exact = features.astype(np.float64)
  mean = exact.mean(0)
  factor = (exact - mean) / np.sqrt(count - 1)
  if count <= size:
    return Gaussian(mean, factor)
  values, vectors = scipy.linalg.eigh(factor.T @ factor)
  roots = np.sqrt(np.maximum(values, 0))  # rounding makes some negative
  return Gaussian(mean, roots[:, None] * vectors.T)


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
  """The squared Frechet (2-Wasserstein) distance of two normal distributions.

  In a space of Inception features it is the FID (Heusel et al., arXiv
  1706.08500). The trace of the square root of a product of covariances A^T A
  and B^T B is the sum of the singular values of A B^T: no root of a matrix that
  is not symmetric, nothing complex, and singular covariances are as good as
  others.

  Estimated from few images it is too large, by an amount that falls about as
  one over their number (Chong and Forsyth, arXiv 1911.07023): compare only
  figures of equally many images. More images than dimensions are best.
  """
  moved = one.mean - other.mean
  common = scipy.linalg.svdvals(one.factor @ other.factor.T).sum()
  spread = np.square(one.factor).sum() + np.square(other.factor).sum()
  return float(max(moved @ moved + spread - 2 * common, 0.0))


class Manifold(NamedTuple):
  """The surroundings of points: a ball around each, as wide as to its k-th.

  Attributes:
    points: f32[P,D].
    radii: f32[P], distance to the k-th nearest of the others.
  """

  points: np.ndarray
  radii: np.ndarray


def manifold(points: np.ndarray, neighbours: int = NEIGHBOURS) -> Manifold:
  """The balls around points f32[P,D].

  Raises:
    UserError: no more points than neighbours.
  """
  validate.whole(neighbours + 1, images=len(points))
  # The nearest of all is the point itself.
  distances, _ = nearest(points, points, neighbours + 1)
  return Manifold(points, distances[:, neighbours])


class Overlap(NamedTuple):
  """How far synthetic and real images cover each other, fractions but density.

  Attributes:
    precision: of synthetic images in the manifold of the real ones.
    recall: of real images in the manifold of the synthetic ones.
    density: real balls that hold a synthetic image, over k; 1 is expected of
      real images, and it may exceed 1.
    coverage: of real images whose ball holds a synthetic one.
  """

  precision: float
  recall: float
  density: float
  coverage: float


def overlap(
  synthetic: Manifold, real: Manifold, neighbours: int = NEIGHBOURS
) -> Overlap:
  """Precision and recall, density and coverage.

  Sources: Kynkaanniemi et al., arXiv 1904.06991; Naeem et al., arXiv
  2002.09797. All depend on the numbers of images: take equally many of both.

  Args:
    synthetic: of one model's images.
    real: of held-out images.
    neighbours: k of both manifolds.
  """
  balls = count_balls(synthetic.points, real)
  to_synthetic, _ = nearest(real.points, synthetic.points)
  return Overlap(
    precision=float((balls > 0).mean()),
    recall=float((count_balls(real.points, synthetic) > 0).mean()),
    density=float(balls.mean() / neighbours),
    coverage=float((to_synthetic[:, 0] <= real.radii).mean()),
  )


def count_balls(queries: np.ndarray, manifold: Manifold) -> np.ndarray:
  """How many balls hold each query f32[P,D]: i32[P]; the border is inside."""
  # Distances stay as they are, and the smaller the rows, the less is rounded.
  centre = manifold.points.mean(0)
  points, counts = manifold.points - centre, []
  for start in range(0, len(queries), _TILE):
    tile = queries[start : start + _TILE] - centre
    filled = np.zeros((_TILE, tile.shape[1]), np.float32)
    filled[: len(tile)] = tile
    held = np.zeros(_TILE, np.int32)
    for first in range(0, len(points), _TILE):
      part = slice(first, first + _TILE)
      balls = _padded(points[part], manifold.radii[part])
      held += np.asarray(_held(filled, *balls))
    counts.append(held[: len(tile)])
  return np.concatenate(counts)


def _padded(
  points: np.ndarray, radii: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Filled up to a tile with balls that hold nothing."""
  missing = _TILE - len(points)
  return (
    np.pad(points, ((0, missing), (0, 0))),
    np.pad(radii, (0, missing), constant_values=-1.0),
  )


@jax.jit
def _held(queries: jax.Array, points: jax.Array, radii: jax.Array) -> jax.Array:
  """Balls of one tile that hold each query, i32[P]."""
  product = jnp.matmul(queries, points.T, precision=lax.Precision.HIGHEST)
  squared = (
    jnp.square(queries).sum(1)[:, None]
    - 2 * product
    + jnp.square(points).sum(1)
  )
  inside = (squared <= jnp.square(radii)) & (radii >= 0)
  return inside.sum(1, dtype=jnp.int32)
