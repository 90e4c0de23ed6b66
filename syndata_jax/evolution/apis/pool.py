"""A pool of public images: drawn at random, varied by their neighbours.

A sample is the number of an image. A variation is one of the images that are
nearest to it, itself among them; the graph of neighbours is computed once, on
public images alone. After the pool of Lin et al., arXiv 2502.05505.
"""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax import validate
from syndata_jax.data import sources
from syndata_jax.data.class_images import ClassImages, class_images
from syndata_jax.data.outside import fit
from syndata_jax.diffusion.base import digests
from syndata_jax.errors import UserError
from syndata_jax.evolution.api import Api
from syndata_jax.evolution.apis.options import ApiOptions
from syndata_jax.images.neighbours import nearest
from syndata_jax.keys import stream

# `nearest` finds 1,000 at most, and an image is the first of its own.
_MOST = 999


@dataclasses.dataclass(frozen=True, eq=False)
class PoolApi(Api):
  """Draws images of a pool; samples are rows of it, i32[B].

  Images stand in groups side by side: one of each class, or one of all.

  Attributes:
    images: u8[P,H,W,C].
    sizes: i32[G], of the groups.
    group_of_class: i32[K], which group each class draws from.
    neighbours: i32[P,N+1], rows of the same group: the row itself, then the
      others from the nearest on; what a small group lacks is never read.
    public: where the pool is from.
  """

  images: np.ndarray
  sizes: np.ndarray
  group_of_class: np.ndarray
  neighbours: np.ndarray
  public: tuple[str, ...] = ("a pool of images",)
  traceable: bool = True

  def random(self, key: jax.Array, labels: jax.Array) -> jax.Array:
    """Images of each class's group, none again before all were drawn.

    Args:
      key: of the draws.
      labels: i32[B].
    """
    sizes, starts = jnp.asarray(self.sizes), jnp.asarray(self._starts)
    draws = jax.random.uniform(stream(key, "rows"), (len(self.images),))
    order = jnp.lexsort((draws, jnp.asarray(self._group_of_row)))
    group = jnp.asarray(self.group_of_class)[labels]
    # Which draw of its group each sample is, from 0.
    same = jax.nn.one_hot(group, len(sizes), dtype=jnp.int32)
    turn = (jnp.cumsum(same, axis=0) * same).sum(axis=1) - 1
    return order[starts[group] + turn % sizes[group]].astype(jnp.int32)

  def variation(
    self,
    key: jax.Array,
    samples: jax.Array,
    labels: jax.Array,
    degree: float | jax.Array,
  ) -> jax.Array:
    """One of the nearest images, each equally likely.

    Args:
      key: of the draws.
      samples: parents i32[B].
      labels: i32[B].
      degree: share of the neighbours that are possible beside the image
        itself, rounded to a number of them; 0 for none.
    """
    most = self.neighbours.shape[1] - 1
    others = np.minimum(self.sizes - 1, most)[self._group_of_row]
    possible = 1 + jnp.round(degree * jnp.asarray(others)[samples])
    draws = jax.random.uniform(stream(key, "neighbour"), samples.shape)
    place = jnp.minimum(draws * possible, possible - 1).astype(jnp.int32)
    return jnp.asarray(self.neighbours)[samples, place]

  def render(self, samples: jax.Array) -> jax.Array:
    """Images u8[B,H,W,C]."""
    return jnp.asarray(self.images)[samples]

  def refuse_private(self, images: np.ndarray) -> None:
    """Makes sure that the pool holds none of the private images.

    Found are those that are equal to the bit.

    Args:
      images: u8[N,H,W,C], private.

    Raises:
      UserError: how many it holds.
    """
    shared = np.isin(digests(images), digests(self.images)).sum()
    if shared:
      raise UserError(
        f"pool: holds {shared} of the private images: must hold none, since"
        " what it holds is released as it is"
      )

  @property
  def _starts(self) -> np.ndarray:
    return np.cumsum(self.sizes) - self.sizes

  @property
  def _group_of_row(self) -> np.ndarray:
    return np.repeat(np.arange(len(self.sizes)), self.sizes)


def from_arrays(
  images: np.ndarray,
  labels: np.ndarray | None,
  num_classes: int,
  neighbours: int,
  embeddings: np.ndarray | None = None,
  public: tuple[str, ...] = ("a pool of images",),
) -> PoolApi:
  """A pool of images that are there already.

  Args:
    images: u8[P,H,W,C], public.
    labels: i32[P], the class of each; None, and every class draws any.
    num_classes: K.
    neighbours: N, how many the largest variation chooses from beside the image
      itself; in a smaller group all others.
    embeddings: f32[P,D] in which images are near each other; None for pixels.
    public: for the privacy statement.

  Raises:
    UserError: a class without an image, or no image at all.
  """
  validate.within(1, _MOST, pool_neighbours=neighbours)
  groups = np.zeros(len(images), int) if labels is None else np.asarray(labels)
  num_groups = 1 if labels is None else num_classes
  sizes = np.bincount(groups, minlength=num_groups)
  if not len(images):
    raise UserError("pool: has no images: must have one of each class")
  if len(sizes) > num_groups or not sizes.all():
    raise UserError(
      f"pool: has images of classes {np.flatnonzero(sizes).tolist()}: must have"
      f" some of each of 0 to {num_classes - 1} and no others"
    )
  order = np.argsort(groups, kind="stable")
  images = images[order]
  if embeddings is None:
    embeddings = images.reshape(len(images), -1) / np.float32(255)
  else:
    embeddings = np.asarray(embeddings)[order]
  width = 1 + min(neighbours, int(sizes.max()) - 1)
  table = np.zeros((len(images), width), np.int32)
  for size, start in zip(sizes, np.cumsum(sizes) - sizes, strict=True):
    part = slice(start, start + size)
    table[part, : min(width, size)] = start + _graph(
      embeddings[part], min(width, size)
    )
  return PoolApi(
    images,
    sizes,
    np.arange(num_classes)
    if labels is not None
    else np.zeros(num_classes, int),
    table,
    public,
  )


def make(
  image_shape: tuple[int, int, int], num_classes: int, options: ApiOptions
) -> PoolApi:
  """The pool that the options name.

  Args:
    image_shape: (H, W, C), to which its images are resized.
    num_classes: K.
    options: its source, and how many neighbours.

  Raises:
    UserError: a source that is unknown, has other classes or cannot be read.
  """
  source, folder = options.pool, options.pool_dir or None
  if options.pool_labels or source == "photographs":
    loaded = class_images(
      source, image_shape, num_classes, folder, options.pool_crops
    )
  else:
    path = pathlib.Path(folder).expanduser() if folder else None
    dataset = sources.load(source, path)
    loaded = ClassImages(
      fit(dataset.train_images, image_shape), dataset.train_labels
    )
  # The classes of the photographs say nothing.
  is_labelled = options.pool_labels and source != "photographs"
  return from_arrays(
    loaded.images,
    loaded.labels if is_labelled else None,
    num_classes,
    options.pool_neighbours,
    public=(f"a pool of {len(loaded.images):,} images of {source}",),
  )


def _graph(rows: np.ndarray, width: int) -> np.ndarray:
  """Of each row itself and then the nearest others, i32[P,width]."""
  _, near = nearest(rows, rows, width)
  own = np.arange(len(rows))[:, None]
  # Copies of a row are as near as itself, and may come before it.
  first = np.argsort(near != own, axis=1, kind="stable")
  near = np.take_along_axis(near, first, axis=1)
  near[:, :1] = own
  return near
