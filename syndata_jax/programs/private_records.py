"""What private records enter an evolution, and what belongs to their kind."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from syndata_jax import data, files
from syndata_jax.ensemble import Workspace, make_layout
from syndata_jax.errors import UserError
from syndata_jax.evolution import apis, tables, texts
from syndata_jax.evolution.task import Task
from syndata_jax.paradigms.private_evolution import make_embedding
from syndata_jax.programs.evolving import Evolving, ImageOptions

IMAGES = "images.npz"


class Entered(NamedTuple):
  """Private records that were checked; nothing is written yet.

  Attributes:
    num_records: n; public.
    num_classes: K; public.
    public: what else was taken as public, a line each.
    task: all that belongs to them; the workspace is where their embedding is
      learned, if it is.
  """

  num_records: int
  num_classes: int
  public: tuple[str, ...]
  task: Callable[[Workspace], Task]


def enter(settings: Evolving, data_dir: str | None) -> Entered:
  """Reads the records, and checks all that can be before a run.

  Args:
    settings: of the run.
    data_dir: where the records are, as in an audit; of a table its file.

  Raises:
    UserError: files that are missing or damaged, labels or columns outside of
      what is declared, or a generator that does not fit or has seen them.
  """
  options = settings.options
  if settings.records == "images":
    return _images(options, data_dir)
  if data_dir is None:
    raise UserError(
      f"--data_dir: name the file of the {settings.records}; nothing is read"
      " without"
    )
  if settings.records == "table":
    return _of_file(
      tables.load(data_dir, options), "declared domain of the columns"
    )
  return _of_file(texts.load(data_dir, options), "declared labels, prompts")


def _of_file(task: Task, public: str) -> Entered:
  """Records whose space needs no learning.

  Args:
    task: all that belongs to them.
    public: what was taken as public.
  """
  return Entered(
    len(task.labels), task.num_classes, (public,), lambda workspace: task
  )


def _images(options: ImageOptions, data_dir: str | None) -> Entered:
  dataset = data.load(options.dataset, data_dir)
  dataset = data.subset(dataset, options.num_train, 0)
  images, labels = dataset.train_images, dataset.train_labels
  height, width, channels = images.shape[1:]
  num_classes = options.num_classes or dataset.num_classes
  if labels.max() >= num_classes:
    raise UserError(
      f"num_classes={num_classes}: {options.dataset} has labels beyond: must"
      " be at least the largest and one"
    )
  api = apis.create(
    options.api, (height, width, channels), num_classes, options
  )
  apis.refuse_private(api, images)

  def task(workspace: Workspace) -> Task:
    layout = make_layout(1)
    return Task(
      records=images,
      labels=labels,
      classes=tuple(map(str, range(num_classes))),
      api=api,
      embedding=make_embedding(
        options, api, num_classes, channels, workspace, layout
      ),
      write=write_images,
    )

  declared = "as declared" if options.num_classes else "that of the data set"
  public = (
    f"size of the images ({height}x{width}x{channels})",
    f"number of classes ({num_classes}, {declared})",
  )
  return Entered(len(images), num_classes, public, task)


def write_images(
  folder: pathlib.Path, images: Any, labels: np.ndarray
) -> pathlib.Path:
  """Leaves `images u8[S,H,W,C]` and `labels i32[S]` in `images.npz`.

  Args:
    folder: of the release.
    images: u8[S,H,W,C].
    labels: of S images.
  """
  path = folder / IMAGES
  with files.write_stream(path) as stream:
    np.savez_compressed(
      stream,
      images=np.asarray(images, np.uint8),
      labels=np.asarray(labels, np.int32),
    )
  return path
