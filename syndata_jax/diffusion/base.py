"""The folder of a pre-trained diffusion model.

`params.npz` holds the parameters by path, `seen.npy` the digests of the images
that it learned from, `base.json` what they belong to, with the digests of both
files; it is written last, so a folder that has it is whole. Equal models are
equal bytes, but for the facts.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from syndata_jax import files
from syndata_jax.data.training_set import named_leaves
from syndata_jax.diffusion.model import DiffusionOptions, init, make_network
from syndata_jax.errors import UserError

_FACTS = "base.json"
_PARAMS = "params.npz"
_SEEN = "seen.npy"


class Base(NamedTuple):
  """A diffusion model that was trained before, on public images.

  Attributes:
    options: of its network and its training.
    image_shape: (H, W, C) of its images.
    num_classes: K; label K is "no class".
    params: nested dicts of f32 arrays, the moving average of the weights.
    facts: where it comes from, JSON-ready: images, epochs, date, versions.
    seen: u64[P], sorted digests of the images that it learned from.
  """

  options: DiffusionOptions
  image_shape: tuple[int, int, int]
  num_classes: int
  params: dict[str, Any]
  facts: dict[str, Any]
  seen: np.ndarray


def digests(images: np.ndarray) -> np.ndarray:
  """Of images u8[P,H,W,C], sorted and each once: u64[at most P]."""
  short = (hashlib.sha256(image.tobytes()).digest()[:8] for image in images)
  return np.unique(np.frombuffer(b"".join(short), "<u8"))


def refuse_private(base: Base, images: np.ndarray) -> None:
  """Makes sure that a base has not seen private images.

  It would carry them into every shadow model, members or not. Found are those
  that are equal to the bit; who pre-trains answers for all others.

  Args:
    base: to begin at.
    images: u8[N,H,W,C], private.

  Raises:
    UserError: how many it has seen.
  """
  shared = np.isin(digests(images), base.seen).sum()
  if shared:
    raise UserError(
      f"has learned from {shared} of the private images: must be pre-trained"
      " without them"
    )


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
    with files.write_stream(path / _SEEN) as stream:
      np.save(stream, base.seen, allow_pickle=False)
    content = {
      "options": {
        field.name: getattr(base.options, field.name)
        for field in dataclasses.fields(DiffusionOptions)
      },
      "image_shape": list(base.image_shape),
      "num_classes": base.num_classes,
      "facts": base.facts,
      "sha256": {name: _digest(path / name) for name in (_PARAMS, _SEEN)},
    }
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
  base, sums = _described(path, files.read_json(path / _FACTS))
  _check_images(folder, base, image_shape, num_classes)
  for name in (_PARAMS, _SEEN):
    if not (path / name).is_file():
      raise UserError(f"{folder}: has no {name}; write it again")
    if _digest(path / name) != sums.get(name):
      raise UserError(
        f"{path / name}: damaged (its digest is not the one in {_FACTS});"
        " write it again"
      )
  params = _nested(files.read_arrays(path / _PARAMS))
  _check_params(folder, base, params)
  return base._replace(params=params, seen=np.load(path / _SEEN))


def _described(
  path: pathlib.Path, content: Any
) -> tuple[Base, Mapping[str, str]]:
  """What `base.json` says, the arrays still empty, and their digests."""
  try:
    height, width, channels = map(int, content["image_shape"])
    base = Base(
      options=DiffusionOptions(**content["options"]),
      image_shape=(height, width, channels),
      num_classes=int(content["num_classes"]),
      params={},
      facts=dict(content["facts"]),
      seen=np.zeros(0, np.uint64),
    )
    return base, dict(content["sha256"])
  except (KeyError, TypeError, ValueError) as error:
    raise UserError(
      f"{path / _FACTS}: damaged, or of another version; write it again"
    ) from error


def _check_params(folder: files.Path, base: Base, params: Any) -> None:
  """Refuses parameters of another network than the options describe."""
  module = make_network(base.options, base.image_shape, base.num_classes)
  wanted = jax.eval_shape(
    lambda: init(jax.random.key(0), module, base.image_shape)
  )
  shapes = lambda tree: {n: a.shape for n, a in named_leaves(tree)}
  if shapes(params) != shapes(wanted):
    raise UserError(
      f"{folder}: its parameters are not of the network that its {_FACTS}"
      " describes; write it again"
    )


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
