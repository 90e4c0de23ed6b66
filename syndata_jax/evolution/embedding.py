"""Where candidates and private records are compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax.errors import UserError

if TYPE_CHECKING:
  from syndata_jax.images.spaces import Space


class Embedding(NamedTuple):
  """A map from records to vectors; it is public.

  Attributes:
    name: in reports.
    embed: `(rendered) -> f32[B,D]`.
    traceable: whether it is a pure JAX function.
    public: what it was made from, a line for the privacy statement; "" where
      it is a formula.
  """

  name: str
  embed: Callable[[Any], Any]
  traceable: bool
  public: str = ""


def _flat(images: jax.Array) -> jax.Array:
  pixels = jnp.asarray(images)
  scale = 255 if pixels.dtype == jnp.uint8 else 1
  return pixels.reshape(len(pixels), -1).astype(jnp.float32) / scale


# Images u8, or f32 in [0, 1].
PIXELS = Embedding("pixels", _flat, traceable=True)


def of_space(space: Space, public: str) -> Embedding:
  """A space of `images.spaces`; traceable where the space is.

  Args:
    space: reads pixels in [0, 1].
    public: what it was made from.
  """
  traced = space.traced
  if traced is not None:
    whole = traced
    return Embedding(
      space.name,
      lambda images: whole(jnp.asarray(images, jnp.float32) / 255),
      traceable=True,
      public=public,
    )

  def embed(images: np.ndarray) -> np.ndarray:
    return space.embed(np.asarray(images, np.float32) / 255)

  return Embedding(space.name, embed, traceable=False, public=public)


def of_records(embedding: Embedding, records: Any, count: int) -> np.ndarray:
  """Private records embedded once, on the host.

  Args:
    embedding: of which.
    records: as the generator renders them.
    count: of them.

  Returns:
    f32[P,D].

  Raises:
    UserError: other shapes, or a number that is not finite.
  """
  rows = np.asarray(embedding.embed(records), np.float32)
  if rows.ndim != 2 or len(rows) != count:
    raise UserError(
      f"embedding={embedding.name}: gave {list(rows.shape)} for {count}"
      f" records: must be [{count}, D]"
    )
  if not np.isfinite(rows).all():
    raise UserError(f"embedding={embedding.name}: must be finite everywhere")
  return rows
