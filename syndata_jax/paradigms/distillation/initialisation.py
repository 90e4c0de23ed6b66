"""Where the synthetic images of each shadow model begin.

The kind decides most of what a distilled set can leak: private images that the
optimisation hardly moves are released nearly as they are. Noise and images
from outside hold nothing private to begin with.
"""

import jax
import numpy as np

from syndata_jax.data import ClassImages
from syndata_jax.data.training_set import Private
from syndata_jax.errors import UserError
from syndata_jax.keys import host, model_keys, stream
from syndata_jax.paradigms.distillation.options import ImageOptions


def initial_images(
  key: jax.Array,
  private: Private,
  options: ImageOptions,
  outside: ClassImages | None = None,
  allowed: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
  """Draws the initial images of every shadow model, each for itself.

  | `initialisation` | images of class k |
  |---|---|
  | `noise` | N(0, 1) in every pixel, where the network reads them |
  | `outside` | public images of class k, without replacement |
  | `private` | the model's own members of class k, without replacement |

  The class of a member is the label it is trained with, so a mislabelled
  canary stands among its wrong class. With `force_canaries`, the worst case,
  every canary among a model's members takes a place of its class before all
  others, allowed or not, and a random choice of them where they are more than
  the places. Model i's draw depends on the key, on i and on its own members
  alone.

  Args:
    key: root of the draws.
    private: of all models; of the other kinds its shapes are used alone.
    options: how many images of each class, and where they begin.
    outside: the public images, for that kind only; of the pool's shape.
    allowed: bool[M,n], for the private kind only. The members to choose from;
      where a class has too few of them its other members, at random, fill the
      places that are left. DATM allows what an expert classifies right: Guo et
      al., arXiv 2310.05773, released code.

  Returns:
    (images, rows): S = K x images per class images of each model, ordered by
    class, u8[M,S,H,W,C]; of noise f32, as the network reads them. Of the
    private kind their rows of the pool, i32[M,S]; None of the others. `check`
    says of which data and options.
  """
  num_models, shape = len(private.members), private.images.shape[1:]
  of_each = options.images_per_class
  # On the host: no two devices draw differently, and nothing is compiled.
  generators = list(map(host, model_keys(stream(key, "initial"), num_models)))
  if options.initialisation == "noise":
    size = (private.num_classes * of_each, *shape)
    noise = [random.standard_normal(size, np.float32) for random in generators]
    return np.stack(noise), None
  quota = (private.num_classes, of_each)
  if options.initialisation == "outside":
    assert outside is not None  # `check` has seen it.
    equal = np.zeros_like(outside.labels)
    places = [
      _by_class(random, outside.labels, equal, quota) for random in generators
    ]
    return outside.images[np.stack(places)], None
  turns = _turns(private, options.force_canaries, allowed)
  rows = [
    members[_by_class(random, private.labels[members], turn, quota)]
    for random, members, turn in zip(
      generators, private.members, turns, strict=True
    )
  ]
  chosen = np.stack(rows).astype(np.int32)
  return private.images[chosen], chosen


def check(
  private: Private, options: ImageOptions, outside: ClassImages | None = None
) -> None:
  """Refuses data of which `initial_images` cannot draw.

  Raises:
    UserError: more images per class than a class has (which class, which
      model), or no images from outside.
  """
  kind, of_each = options.initialisation, options.images_per_class
  if kind == "noise":
    return
  if kind == "private":
    labels = private.labels[private.members]
  elif outside is None:
    raise UserError("initialisation='outside': needs images of initial_source")
  else:
    labels = outside.labels[None]
  counts = np.stack(
    [np.bincount(each, minlength=private.num_classes) for each in labels]
  )
  if of_each > counts.min():
    model, label = np.unravel_index(counts.argmin(), counts.shape)
    where = f"model {model}" if kind == "private" else "initial_source"
    raise UserError(
      f"images_per_class={of_each}: must be at most {counts.min()},"
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
