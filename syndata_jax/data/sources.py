"""Data sets by name, with the constants that are public about each.

A data set of the user's own is a module with `load(data_dir) -> Dataset`;
`syndata_jax.plugins` says how it is named.

The mean and standard deviation of a named data set are its published ones,
fixed here; those of a user's data are one half by default. Neither is computed
from the private images of a run, so normalising releases nothing about them.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from syndata_jax import plugins
from syndata_jax.data import (
  cifar,
  digits,
  fashion_mnist,
  folder,
  npz,
  prepared,
  svhn,
)
from syndata_jax.data.dataset import Arrays, Dataset, from_arrays
from syndata_jax.errors import UserError


class _Published(NamedTuple):
  """A data set that is downloaded once, and where its files come from."""

  read: Callable[[pathlib.Path], Arrays | None]
  files: str
  url: str
  catalogue_name: str  # In tensorflow-datasets.
  facts: dict[str, Any]


_PUBLISHED = {
  "fashion_mnist": _Published(
    fashion_mnist.read,
    ", ".join(f"{name}.gz" for name in fashion_mnist.FILES),
    "https://github.com/zalandoresearch/fashion-mnist",
    "fashion_mnist",
    dict(num_classes=10, mean=(0.2860,), std=(0.3530,), flip=True),
  ),
  "cifar10": _Published(
    cifar.read_cifar10,
    "cifar-10-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar.html",
    "cifar10",
    dict(
      num_classes=10,
      mean=(0.4914, 0.4822, 0.4465),
      std=(0.2023, 0.1994, 0.2010),
      flip=True,
    ),
  ),
  "cifar100": _Published(
    cifar.read_cifar100,
    "cifar-100-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar.html",
    "cifar100",
    dict(
      num_classes=100,
      mean=(0.5071, 0.4867, 0.4408),
      std=(0.2675, 0.2565, 0.2761),
      flip=True,
    ),
  ),
  "svhn": _Published(
    svhn.read,
    "train_32x32.mat, test_32x32.mat",
    "http://ufldl.stanford.edu/housenumbers",
    "svhn_cropped",
    dict(
      num_classes=10,
      mean=(0.4377, 0.4438, 0.4728),
      std=(0.1980, 0.2010, 0.1970),
      flip=False,
    ),
  ),
}

NAMES = tuple(sorted(["digits", "cinic10", "folder", "npz", *_PUBLISHED]))
EXTENSION_POINT = plugins.ExtensionPoint(
  field="dataset",
  function="load(data_dir)",
  group="syndata_jax.datasets",
  names=NAMES,
)


def load(name: str, data_dir: str | pathlib.Path | None = None) -> Dataset:
  """A data set by name; see `NAMES` and the README's table of sources.

  Args:
    name: `digits` is inside scikit-learn. `fashion_mnist`, `cifar10`,
      `cifar100` and `svhn` are read from their original files, else from what
      tensorflow-datasets has prepared. `folder` and `cinic10` are class
      folders. `npz` is one file of arrays. Any other is a module with a
      function `load`: see `plugins.resolve`.
    data_dir: the folder with the files; for `npz` the file itself.

  Returns:
    The data set, checked.

  Raises:
    UserError: an unknown name, files that are missing or damaged, or a module
      whose `load` fails or returns anything but a right `Dataset`.
  """
  path = None if data_dir is None else pathlib.Path(data_dir).expanduser()
  if name in _PUBLISHED:
    source = _PUBLISHED[name]
    return from_arrays(name, _find(name, source, path), **source.facts)
  if name == "digits":
    facts = dict(num_classes=10, mean=(0.3053,), std=(0.3759,), flip=False)
    return from_arrays(name, digits.read(), **facts)
  if name not in NAMES:
    return _by_module(name, path)
  if path is None:
    what = (
      "the .npz file" if name == "npz" else "a folder with train/ and test/"
    )
    raise UserError(f"data_dir=None: dataset={name} needs {what}")
  return {"folder": _folder, "cinic10": _cinic10, "npz": _npz}[name](path)


def _by_module(name: str, data_dir: pathlib.Path | None) -> Dataset:
  module = plugins.resolve(EXTENSION_POINT, name)
  try:
    dataset = module.load(data_dir)
    if isinstance(dataset, Dataset):
      return dataclasses.replace(dataset, name=name)  # is checked again
  except UserError as error:
    raise EXTENSION_POINT.refusal(name, str(error)) from error
  # A reader of files can raise anything.
  except Exception as error:
    reason = plugins.describe(error, module.__file__)
    raise EXTENSION_POINT.refusal(name, f"does not load: {reason}") from error
  raise EXTENSION_POINT.refusal(
    name,
    f"load returned {type(dataset).__name__}: must be a"
    " syndata_jax.data.Dataset",
  )


def _find(
  name: str, source: _Published, data_dir: pathlib.Path | None
) -> Arrays:
  arrays = None
  if data_dir is not None:
    arrays = source.read(data_dir)
  elif name == "fashion_mnist":
    arrays = fashion_mnist.read(None)
  if arrays is None:
    arrays = prepared.read(source.catalogue_name, data_dir)
  if arrays is None:
    where = "a folder named by data_dir" if data_dir is None else data_dir
    raise UserError(
      f"dataset={name}: no files found; put {source.files} from {source.url} "
      f"into {where}, or the array_record files that tensorflow-datasets "
      "prepares"
    )
  return arrays


def _folder(path: pathlib.Path) -> Dataset:
  arrays, num_classes = folder.read(path)
  facts = _own_facts(arrays)
  return from_arrays("folder", arrays, num_classes=num_classes, **facts)


def _cinic10(path: pathlib.Path) -> Dataset:
  arrays, num_classes = folder.read_cinic10(path)
  return from_arrays(
    "cinic10",
    arrays,
    num_classes=num_classes,
    mean=(0.4789, 0.4723, 0.4305),
    std=(0.2421, 0.2383, 0.2587),
    flip=True,
  )


def _npz(path: pathlib.Path) -> Dataset:
  arrays, facts = npz.read(path)
  return own_dataset("npz", arrays, **facts)


def own_dataset(name: str, arrays: Arrays, **facts: Any) -> Dataset:
  """A data set of a user's own arrays.

  Args:
    name: for messages and reports.
    arrays: that `dataset.check` has passed.
    **facts: fields of `Dataset` that the user gave. The others are what holds
      for any images: one half for `mean` and `std`, `flip`, and for
      `num_classes` the largest label + 1.
  """
  # The number of classes is public: it is the size of what a model outputs.
  num_classes = 1 + max(
    int(arrays.train_labels.max()), int(arrays.test_labels.max())
  )
  default = {"num_classes": num_classes} | _own_facts(arrays)
  return from_arrays(name, arrays, **(default | facts))


def _own_facts(arrays: Arrays) -> dict[str, Any]:
  """What holds for any image whatever, so says nothing about these."""
  half = (0.5,) * arrays.train_images.shape[-1]
  return dict(mean=half, std=half, flip=True)
