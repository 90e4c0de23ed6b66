"""What enters training: the private data, and what models learn from instead.

Three forms of a training set, told apart by what is None:

| form | images | members |
|---|---|---|
| the private pool | None | rows of it |
| a pool of its own | [N,H,W,C] | rows of it |
| a set for each model | [M,S,H,W,C] | None |
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

import numpy as np

from syndata_jax.errors import UserError


class Private(NamedTuple):
  """The private data of all shadow models.

  Model m owns the rows `members[m]` of the pool and nothing else: whatever is
  selected, fitted or synthesised for it must come from those rows alone, or
  the audit is void.
  """

  images: np.ndarray  # u8[N,H,W,C], canaries planted
  labels: np.ndarray  # i32[N], canaries relabelled
  members: np.ndarray  # i32[M,n]
  num_classes: int  # K
  # i32[Q], rows that are audited. No method knows them, but an audit may ask
  # what leaks if the worst happens to them.
  canaries: np.ndarray = np.zeros(0, np.int32)


class TrainingSet(NamedTuple):
  """The result of a paradigm's `synthesize`, what its learner reads."""

  # u8, or f32 as the network reads them: [N,H,W,C], a pool; [M,S,H,W,C], a set
  # for each model; None for the images of the private pool.
  images: np.ndarray | None
  # The same leading axes. i32, or f32[...,K], logits of soft labels; None for
  # the labels of the private pool.
  labels: np.ndarray | None
  # i32[M,n], the rows that model m learns from; None where it owns its set.
  members: np.ndarray | None
  # Nested dicts of arrays [M,...]: what model m is given beside its images,
  # such as a learning rate or a teacher.
  released: dict[str, Any] | None = None
  # i32[M,k], rows of the private pool that model m's set was made from: those
  # that a coreset keeps, those that a distillation begins with.
  chosen: np.ndarray | None = None

  @property
  def size(self) -> int:
    """Examples of one model, of a set that has entered."""
    if self.members is not None:
      return self.members.shape[1]
    assert self.images is not None
    return self.images.shape[1]

  @property
  def nbytes(self) -> int:
    """Of images and labels."""
    return sum(a.nbytes for a in (self.images, self.labels) if a is not None)

  @property
  def num_models(self) -> int:
    """M, of a set that has entered."""
    per_model = self.images if self.members is None else self.members
    assert per_model is not None
    return len(per_model)

  @property
  def image_shape(self) -> tuple[int, int, int]:
    """(H, W, C), of a set that has entered."""
    assert self.images is not None
    height, width, channels = self.images.shape[-3:]
    return height, width, channels

  def of_model(self, model: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one model, of a set that has entered."""
    assert self.images is not None and self.labels is not None
    rows = model if self.members is None else self.members[model]
    return self.images[rows], self.labels[rows]


def private_set(private: Private) -> TrainingSet:
  """Every model learns from its own members of the private pool."""
  return enter(TrainingSet(None, None, private.members), private)


def enter(training_set: TrainingSet, private: Private) -> TrainingSet:
  """Checks a set where it enters, and fills in the private pool.

  Args:
    training_set: of a paradigm.
    private: what it was made from; the number of models is its own.

  Returns:
    The set, its images and labels never None.

  Raises:
    UserError: a wrong type or shape, a value that is not finite, a row or a
      label out of range, a model that reads rows of the private pool which it
      does not own (which field, which model, what is allowed).
  """
  if not isinstance(training_set, TrainingSet):
    _refuse(
      f"{type(training_set).__name__}", "synthesize must return a TrainingSet"
    )
  filled = training_set._replace(
    images=_or(training_set.images, private.images),
    labels=_or(training_set.labels, private.labels),
  )
  private_pool = training_set.images is None or training_set.labels is None
  if private_pool and training_set.members is None:
    _refuse("members=None", "rows of the private pool needed")
  models = len(private.members)
  _check_images(filled, private, models)
  _check_labels(filled, private)
  if filled.members is not None:
    pool = private.images if filled.images is None else filled.images
    _check_rows("members", filled.members, models, len(pool))
  if private_pool:
    _check_owned("members", filled.members, private)
  if filled.chosen is not None:
    _check_rows("chosen", filled.chosen, models, len(private.images))
    _check_owned("chosen", filled.chosen, private)
  for name, leaf in named_leaves(filled.released or {}):
    _check_released(name, leaf, models)
  return filled


def named_leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
  """The arrays of nested dicts with their paths, such as `rate`, `map.mean`.

  Raises:
    UserError: a key that is no plain name.
  """
  if not isinstance(tree, dict):
    yield prefix, tree
    return
  for key in sorted(tree):
    if not isinstance(key, str) or not key or set(key) & set("./\\"):
      _refuse(
        f"released has the key {key!r}",
        "non-empty names without . and / needed",
      )
    yield from named_leaves(tree[key], f"{prefix}.{key}" if prefix else key)


def _check_images(filled: Any, private: Private, models: int) -> None:
  images, shape = filled.images, private.images.shape[1:]
  wanted = (
    (models, *np.shape(images)[1:2], *shape)
    if filled.members is None
    else (*np.shape(images)[:1], *shape)
  )
  _check_array("images", images, ("uint8", "float32"))
  if images.shape != wanted or 0 in images.shape:
    letters = "[M,S,H,W,C]" if filled.members is None else "[N,H,W,C]"
    _refuse(
      f"images have the shape {list(images.shape)}",
      f"{letters} with {models} models and images of {list(shape)} needed",
    )


def _check_labels(filled: Any, private: Private) -> None:
  labels, leading = filled.labels, filled.images.shape[:-3]
  _check_array("labels", labels, ("int32", "float32"))
  soft = labels.dtype == np.float32
  wanted = (*leading, private.num_classes) if soft else leading
  if labels.shape != wanted:
    _refuse(
      f"labels have the shape {list(labels.shape)}", f"{list(wanted)} needed"
    )
  if not soft and (labels.min() < 0 or labels.max() >= private.num_classes):
    _refuse(
      f"labels from {labels.min()} to {labels.max()}",
      f"0 to {private.num_classes - 1} allowed",
    )


def _check_rows(name: str, rows: Any, models: int, pool: int) -> None:
  _check_array(name, rows, ("int32",))
  if rows.ndim != 2 or len(rows) != models or not rows.shape[1]:
    _refuse(
      f"{name} have the shape {list(rows.shape)}",
      f"[{models}, 1 or more], a line of rows for each model, needed",
    )
  if rows.min() < 0 or rows.max() >= pool:
    _refuse(
      f"{name} hold rows from {rows.min()} to {rows.max()}",
      f"0 to {pool - 1} allowed",
    )


def _check_owned(name: str, rows: Any, private: Private) -> None:
  """Rows of the private pool are the model's own members."""
  owned = np.zeros(len(private.images), bool)
  for model, members in enumerate(private.members):
    owned[:] = False
    owned[members] = True
    foreign = rows[model][~owned[rows[model]]]
    if len(foreign):
      _refuse(
        f"{name} of model {model} hold row {foreign[0]}",
        "rows of its own members allowed alone, or the audit is void",
      )


def _check_released(name: str, leaf: Any, models: int) -> None:
  kinds = ("float32", "int32", "uint8", "bool", "bfloat16")
  _check_array(f"released {name}", leaf, kinds)
  if not leaf.ndim or len(leaf) != models:
    _refuse(
      f"released {name} has the shape {list(leaf.shape)}",
      f"a leading axis of {models} models needed",
    )


def _check_array(name: str, array: Any, kinds: tuple[str, ...]) -> None:
  if not isinstance(array, np.ndarray):
    _refuse(f"{name}: {type(array).__name__}", "a NumPy array needed")
  if str(array.dtype) not in kinds:
    _refuse(f"{name} of type {array.dtype}", f"{' or '.join(kinds)} needed")
  if array.dtype.kind == "f" and not np.isfinite(array).all():
    _refuse(f"{name} hold a value that is not finite", "finite ones needed")


def _or(array: np.ndarray | None, pool: np.ndarray) -> np.ndarray:
  return pool if array is None else array


def _refuse(what: str, allowed: str) -> NoReturn:
  raise UserError(f"training set: {what}: {allowed}")
