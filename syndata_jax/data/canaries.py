"""The images of canaries that are not the pool's own."""

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
  count, channels = len(split.canary_index), images.shape[-1]
  if kind == "blank":
    colours = keys.generator(seed, "canaries.blank").integers(
      0, 256, (count, 1, 1, channels)
    )
    planted[split.canary_index] = colours.astype(np.uint8)
  else:
    if outside is None:
      raise UserError(f"canary_kind={kind!r}: must have images from elsewhere")
    if (
      outside.dtype != np.uint8
      or outside.shape[1:] != images.shape[1:]
      or len(outside) < count
    ):
      raise UserError(
        f"outside is {outside.dtype}{list(outside.shape)}: must be "
        f"uint8{[count, *images.shape[1:]]}, one image per canary"
      )
    planted[split.canary_index] = outside[:count]
  return planted
