"""The folder of a pre-trained diffusion model.

`params.npz` holds the parameters by path, `base.json` what they belong to, with
the digest of the arrays; it is written last, so a folder that has it is whole.
Equal models are equal bytes, but for the facts.
"""

import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from syndata_jax import files
from syndata_jax.data.training_set import named_leaves
from syndata_jax.errors import UserError

_FACTS = "base.json"
_PARAMS = "params.npz"


class Base(NamedTuple):
  """A diffusion model that was trained before, on public images.

  Attributes:
    options: of its network, JSON-ready.
    image_shape: (H, W, C) of its images.
    num_classes: K; label K is "no class".
    params: nested dicts of f32 arrays, the moving average of the weights.
    facts: where it comes from, JSON-ready: images, epochs, date, versions.
  """

  options: dict[str, Any]
  image_shape: tuple[int, int, int]
  num_classes: int
  params: dict[str, Any]
  facts: dict[str, Any]


def save(folder: files.Path, base: Base) -> None:
  """Writes the folder, in the place of an earlier model.

  Raises:
    UserError: the folder cannot be written.
  """
  path = pathlib.Path(folder).expanduser()
  arrays = dict(named_leaves(base.params))
  try:
    path.mkdir(parents=True, exist_ok=True)
    (path / _FACTS).unlink(missing_ok=True)
    with files.write_stream(path / _PARAMS) as stream:
      np.savez(stream, **arrays)
    content = base._asdict() | {"sha256": _digest(path / _PARAMS)}
    del content["params"]
    files.write_json(path / _FACTS, content)
  except OSError as error:
    raise UserError(
      f"{folder}: cannot be written ({error.strerror})"
    ) from error


def load(
  folder: files.Path,
  image_shape: tuple[int, int, int],
  num_classes: int | None,
) -> Base:
  """Reads the folder, for images of one kind.

  Args:
    folder: that `save` has written.
    image_shape: (H, W, C) of the images that it is to make.
    num_classes: K that it must have; None for any.

  Raises:
    UserError: a missing or damaged file, or a model of other images.
  """
  path = pathlib.Path(folder).expanduser()
  if not (path / _FACTS).is_file():
    raise UserError(
      f"{folder}: has no {_FACTS}: must be the folder of a pre-trained"
      " diffusion model, as syndata-pretrain writes it"
    )
  content = files.read_json(path / _FACTS)
  base, digest = _described(path, content)
  _check_images(folder, base, image_shape, num_classes)
  if not (path / _PARAMS).is_file():
    raise UserError(f"{folder}: has no {_PARAMS}; write it again")
  if _digest(path / _PARAMS) != digest:
    raise UserError(
      f"{path / _PARAMS}: damaged (its digest is not the one in {_FACTS});"
      " write it again"
    )
  return base._replace(params=_nested(files.read_arrays(path / _PARAMS)))


def _described(path: pathlib.Path, content: Any) -> tuple[Base, str]:
  """What `base.json` says, its parameters still empty, and their digest."""
  try:
    height, width, channels = map(int, content["image_shape"])
    base = Base(
      options=dict(content["options"]),
      image_shape=(height, width, channels),
      num_classes=int(content["num_classes"]),
      params={},
      facts=dict(content["facts"]),
    )
    return base, str(content["sha256"])
  except (KeyError, TypeError, ValueError) as error:
    raise UserError(f"{path / _FACTS}: damaged; write it again") from error


def _check_images(
  folder: files.Path,
  base: Base,
  image_shape: tuple[int, int, int],
  num_classes: int | None,
) -> None:
  """Refuses a model of other images, or of another number of classes.

  Args:
    folder: for messages.
    base: that was read.
    image_shape: (H, W, C) that are wanted.
    num_classes: K that is wanted; None for any.
  """
  *size, channels = base.image_shape
  *wanted, wanted_channels = image_shape
  if size != wanted:
    raise UserError(
      f"{folder}: makes images of {size[0]}x{size[1]} pixels: must be"
      f" {wanted[0]}x{wanted[1]}"
    )
  if channels != wanted_channels:
    raise UserError(
      f"{folder}: makes images of {channels} channels: must be"
      f" {wanted_channels}"
    )
  if num_classes not in (None, base.num_classes):
    raise UserError(
      f"{folder}: has {base.num_classes} classes: must have {num_classes}"
    )


def _nested(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Nested dicts of arrays that were named by their paths."""
  tree: dict[str, Any] = {}
  for name, array in arrays.items():
    *path, last = name.split(".")
    node = tree
    for part in path:
      node = node.setdefault(part, {})
    node[last] = array
  return tree


def _digest(path: pathlib.Path) -> str:
  with path.open("rb") as stream:
    return hashlib.file_digest(stream, "sha256").hexdigest()
