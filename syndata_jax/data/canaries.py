"""The images of canaries that are not the pool's own, and of dummies."""

import numpy as np

from syndata_jax import keys, validate
from syndata_jax.data.split import KINDS, AuditSplit
from syndata_jax.errors import UserError


def plant(
  images: np.ndarray,
  split: AuditSplit,
  kind: str,
  seed: int,
  outside: np.ndarray | None = None,
) -> np.ndarray:
  """The pool with the canaries' images in place.

  | kind | image of canary i |
  |---|---|
  | `mislabelled`, `clean` | its own |
  | `blank` | one random colour, the same in every pixel |
  | `out_of_distribution` | `outside[i]` |

  With one seed, a smaller audit has the same images as the first canaries of a
  larger one. Source of the kinds: Aerni et al. (2024), section 4.

  Args:
    images: u8[N, H, W, C], the pool.
    split: whose `canary_index` says which rows.
    kind: one of the above.
    seed: names the draw of colours.
    outside: u8[at least Q, H, W, C], needed by `out_of_distribution` only; see
      `outside_images`.

  Returns:
    u8[N, H, W, C]: a read-only view of the pool where nothing is planted, else
    a copy.

  Raises:
    UserError: an unknown kind, or `outside` is missing or has another shape.
  """
  validate.one_of(KINDS, canary_kind=kind)
  if kind in ("mislabelled", "clean"):
    planted = images.view()
    # Not the caller's own: whoever writes here must not change the pool.
    planted.flags.writeable = False
    return planted
  planted = images.copy()
  if kind == "blank":
    planted[split.canary_index] = _blank(
      (len(split.canary_index), *images.shape[1:]), seed, "canaries.blank"
    )
  else:
    planted[split.canary_index] = _outside(
      outside, 0, (len(split.canary_index), *images.shape[1:])
    )
  return planted


def dummy_images(
  test_images: np.ndarray,
  split: AuditSplit,
  kind: str,
  seed: int,
  outside: np.ndarray | None = None,
) -> np.ndarray:
  """The images of the dummy canaries, made as `plant` makes those of canaries.

  Args:
    test_images: u8[T, H, W, C], which stay as they are.
    split: whose `dummy_index` says which rows.
    kind: as in `plant`.
    seed: names the draw of colours, which are others than the canaries'.
    outside: u8[at least Q + D, H, W, C]: the first Q are the canaries' own.

  Returns:
    u8[D, H, W, C].

  Raises:
    UserError: as `plant`.
  """
  validate.one_of(KINDS, canary_kind=kind)
  shape = (len(split.dummy_index), *test_images.shape[1:])
  if kind == "blank":
    return _blank(shape, seed, "dummies.blank")
  if kind == "out_of_distribution":
    return _outside(outside, len(split.canary_index), shape)
  return test_images[split.dummy_index]


def _blank(shape: tuple[int, ...], seed: int, purpose: str) -> np.ndarray:
  """u8[count, H, W, C], each of one random colour; the first are a prefix."""
  count, channels = shape[0], shape[-1]
  colours = keys.generator(seed, purpose).integers(
    0, 256, (count, 1, 1, channels)
  )
  return np.broadcast_to(colours.astype(np.uint8), shape)


def _outside(
  outside: np.ndarray | None, first: int, shape: tuple[int, ...]
) -> np.ndarray:
  """u8[count, H, W, C], the images from the `first` on."""
  if outside is None:
    raise UserError(
      "canary_kind='out_of_distribution': must have images from elsewhere"
    )
  count = first + shape[0]
  if (
    outside.dtype != np.uint8
    or outside.shape[1:] != shape[1:]
    or len(outside) < count
  ):
    raise UserError(
      f"outside is {outside.dtype}{list(outside.shape)}: must be "
      f"uint8{[count, *shape[1:]]}, one image per canary"
    )
  return outside[first:count]
