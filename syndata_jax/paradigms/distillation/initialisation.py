"""Where the synthetic images of each shadow model begin.

The kind decides most of what a distilled set can leak: private images that the
optimisation hardly moves are released nearly as they are. Noise and images
from outside hold nothing private to begin with.
"""

from typing import NamedTuple

import jax
import numpy as np

from syndata_jax.data import ClassImages
from syndata_jax.ensemble.train import model_keys
from syndata_jax.errors import UserError
from syndata_jax.keys import stream
from syndata_jax.paradigms.interface import Private

KINDS = ("noise", "outside", "private")


class Initial(NamedTuple):
  """S = K x images per class images of each model, ordered by class."""

  # u8[M,S,H,W,C]; of noise f32, as the network reads them: normalised, or
  # whitened.
  images: np.ndarray
  rows: np.ndarray | None  # i32[M,S], rows of the pool; None if not private


def initial_images(
  key: jax.Array,
  private: Private,
  images_per_class: int,
  kind: str,
  forced: bool = False,
  outside: ClassImages | None = None,
  allowed: np.ndarray | None = None,
) -> Initial:
  """Draws the initial images of every shadow model, each for itself.

  | kind | images of class k |
  |---|---|
  | `noise` | N(0, 1) in every pixel, where the network reads them |
  | `outside` | public images of class k, without replacement |
  | `private` | the model's own members of class k, without replacement |

  The class of a member is the label it is trained with, so a mislabelled
  canary stands among its wrong class. Model i's draw depends on the key, on i
  and on its own members alone.

  Args:
    key: root of the draws.
    private: of all models; of the other kinds its shapes are used alone.
    images_per_class: of each model's synthetic set.
    kind: one of `KINDS`, the field `initialisation` in messages.
    forced: the worst case: every canary among a model's members takes a place
      of its class before all others, allowed or not, and a random choice of
      them where they are more than the places. Private only; the field
      `force_canaries` in messages.
    outside: the public images, for that kind only; of the pool's shape.
    allowed: bool[M,n], for the private kind only. The members to choose from;
      where a class has too few of them its other members, at random, fill the
      places that are left. DATM allows what an expert classifies right: Guo et
      al., arXiv 2310.05773, released code.

  Returns:
    The images and, of the private kind, their rows.

  Raises:
    UserError: see `check`.
  """
  check(private, images_per_class, kind, forced, outside)
  num_models, shape = len(private.members), private.images.shape[1:]
  # On the host: no two devices draw differently, and nothing is compiled.
  keys = jax.random.key_data(model_keys(stream(key, "initial"), num_models))
  each = [np.random.default_rng(own) for own in np.asarray(keys)]
  if kind == "noise":
    size = (private.num_classes * images_per_class, *shape)
    noise = [random.standard_normal(size, np.float32) for random in each]
    return Initial(np.stack(noise), None)
  quota = (private.num_classes, images_per_class)
  if kind == "outside":
    assert outside is not None  # `check` has seen it.
    equal = np.zeros_like(outside.labels)
    rows = [_by_class(random, outside.labels, equal, quota) for random in each]
    return Initial(outside.images[np.stack(rows)], None)
  turns = _turns(private, forced, allowed)
  rows = [
    own[_by_class(random, private.labels[own], turn, quota)]
    for random, own, turn in zip(each, private.members, turns, strict=True)
  ]
  chosen = np.stack(rows).astype(np.int32)
  return Initial(private.images[chosen], chosen)


def check(
  private: Private,
  images_per_class: int,
  kind: str,
  forced: bool = False,
  outside: ClassImages | None = None,
) -> None:
  """Refuses what `initial_images` cannot draw.

  Raises:
    UserError: an unknown kind, a forced choice of another kind than private,
      or more images per class than a class has (which class, which model).
  """
  if kind not in KINDS:
    raise UserError(
      f"initialisation={kind!r}: must be one of {', '.join(KINDS)}"
    )
  if forced and kind != "private":
    raise UserError("force_canaries=True: needs initialisation='private'")
  if images_per_class < 1:
    raise UserError(f"images_per_class={images_per_class}: must be at least 1")
  if kind == "noise":
    return
  if kind == "private":
    labels = private.labels[private.members]
  elif outside is None:
    raise UserError("initialisation='outside': needs images of initial_source")
  else:
    labels = outside.labels[None]
  counts = np.stack(
    [np.bincount(own, minlength=private.num_classes) for own in labels]
  )
  if images_per_class > counts.min():
    model, label = np.unravel_index(counts.argmin(), counts.shape)
    where = f"model {model}" if kind == "private" else "initial_source"
    raise UserError(
      f"images_per_class={images_per_class}: must be at most {counts.min()},"
      f" what class {label} has in {where}"
    )


def _turns(
  private: Private, forced: bool, allowed: np.ndarray | None
) -> np.ndarray:
  """When each member is considered, i32[M,n]: lower values first."""
  turn = np.ones(private.members.shape, np.int32)
  if allowed is not None:
    turn[~allowed] = 2
  if forced:
    turn[np.isin(private.members, private.canaries)] = 0
  return turn


def _by_class(
  random: np.random.Generator,
  labels: np.ndarray,
  turn: np.ndarray,
  quota: tuple[int, int],
) -> np.ndarray:
  """Indices of examples, equally many of each class and class by class.

  Args:
    random: whose order decides among examples of one turn.
    labels: i32[P].
    turn: i32[P], lower values first.
    quota: classes, and examples of each.
  """
  num_classes, of_each = quota
  order = random.permutation(len(labels))
  order = order[np.argsort(turn[order], kind="stable")]
  of_class = [order[labels[order] == k][:of_each] for k in range(num_classes)]
  return np.concatenate(of_class)
