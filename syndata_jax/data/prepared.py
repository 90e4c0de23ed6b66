"""Records that tensorflow-datasets has prepared, read without TensorFlow.

Reading `array_record` files needs no TensorFlow, preparing them does. Without
it this module only looks on disk: the constructor of an unprepared builder
would already ask a server for the sizes of its splits.
"""

import importlib.util
import os
import pathlib
from typing import Any

import numpy as np

from syndata_jax.data.dataset import Arrays
from syndata_jax.errors import UserError


def read(name: str, data_dir: pathlib.Path | None) -> Arrays | None:
  """The splits `train` and `test` of a data set in the catalogue.

  Args:
    name: its name in the catalogue of tensorflow-datasets.
    data_dir: the library's data folder; None is its own default,
      `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.

  Returns:
    The arrays, or None where nothing is prepared and TensorFlow, which could
    prepare it, is not installed.

  Raises:
    UserError: what is prepared cannot be read, or preparing fails.
  """
  folder = data_dir or pathlib.Path(
    os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
  )
  version = _newest_version(folder.expanduser() / name)
  can_prepare = importlib.util.find_spec("tensorflow") is not None
  if version is None and not can_prepare:
    return None
  import tensorflow_datasets as tfds

  where = version or folder / name
  try:
    if version is not None:
      builder = tfds.builder_from_directory(version)
    else:
      builder = tfds.builder(
        name, data_dir=folder.expanduser(), file_format="array_record"
      )
      builder.download_and_prepare()
    return Arrays(*_split(builder, "train"), *_split(builder, "test"))
  except Exception as error:  # The library raises many kinds.
    reason = " ".join(str(error).split())
    raise UserError(
      f"{where}: tensorflow-datasets cannot read or prepare it (records must "
      f"have file_format='array_record'): {type(error).__name__}: {reason}"
    ) from error


def _newest_version(folder: pathlib.Path) -> pathlib.Path | None:
  """The prepared folder with the highest number, such as `cifar10/3.0.2`."""
  versions = {}
  for path in folder.glob("*/dataset_info.json"):
    numbers = path.parent.name.split(".")
    if all(number.isdecimal() for number in numbers):
      versions[tuple(map(int, numbers))] = path.parent
  return versions[max(versions)] if versions else None


def _split(builder: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
  source = builder.as_data_source(split=name)
  records = [source[i] for i in range(len(source))]
  images = [np.asarray(record["image"], np.uint8) for record in records]
  labels = [record["label"] for record in records]
  return np.stack(images), np.asarray(labels, np.int32)
