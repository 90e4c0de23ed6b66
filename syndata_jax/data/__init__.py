"""What enters an audit: images, canaries and who trains on them."""

from syndata_jax.data.canaries import dummy_images, plant
from syndata_jax.data.class_images import ClassImages, class_images
from syndata_jax.data.dataset import Dataset, subset, subset_rows
from syndata_jax.data.outside import outside_images
from syndata_jax.data.sources import load, own_dataset
from syndata_jax.data.split import (
  AuditSplit,
  add_dummies,
  make_coin_split,
  make_split,
)
from syndata_jax.data.split_file import load_split, save_split

__all__ = [
  "AuditSplit",
  "ClassImages",
  "Dataset",
  "add_dummies",
  "class_images",
  "dummy_images",
  "load",
  "load_split",
  "make_coin_split",
  "make_split",
  "outside_images",
  "own_dataset",
  "plant",
  "save_split",
  "subset",
  "subset_rows",
]
