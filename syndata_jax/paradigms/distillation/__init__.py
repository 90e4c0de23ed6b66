"""Data-set distillation: learning from a few optimised images.

Every shadow model has a synthetic set of its own, optimised on its own
members alone. The images, with soft labels, learning rate and whitening where
there are any, are what is released.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax.data import ClassImages, class_images
from syndata_jax.data.training_set import TrainingSet, Whitening
from syndata_jax.ensemble import Engine, Workspace
from syndata_jax.errors import UserError, prefixed
from syndata_jax.keys import stream
from syndata_jax.paradigms.distillation import datm, experts, real, whitening
from syndata_jax.paradigms.distillation.distil import distil
from syndata_jax.paradigms.distillation.dm import distribution_loss
from syndata_jax.paradigms.distillation.initialisation import (
  Initial,
  check,
  initial_images,
)
from syndata_jax.paradigms.distillation.learner import final, queried
from syndata_jax.paradigms.distillation.options import (
  METHODS,
  TRAJECTORY_METHODS,
  Options,
)
from syndata_jax.paradigms.distillation.setup import Setup, make_network
from syndata_jax.paradigms.distillation.synthetic import Synthetic
from syndata_jax.paradigms.distillation.trajectory import trajectory_loss
from syndata_jax.paradigms.interface import Paradigm, Private

__all__ = [
  "METHODS",
  "Options",
  "distribution_loss",
  "make",
  "synthesize",
  "trajectory_loss",
]


def make(engine: Engine, options: Options, private: Private) -> Paradigm:
  """Distils first, then learns by the engine's recipe.

  Raises:
    UserError: a class with fewer members than synthetic images, a network
      that cannot distil, or an initialisation that cannot be found.
  """
  setup = _setup(engine, options, private)
  return Paradigm(
    queried(engine, options),
    partial(synthesize, setup),
    partial(final, engine, options),
  )


def synthesize(
  setup: Setup,
  key: jax.Array,
  private: Private,
  workspace: Workspace = Workspace(),  # noqa: B008, immutable
) -> TrainingSet:
  """The synthetic sets of all models, in one pool.

  Args:
    setup: settings and tools.
    key: root of every draw.
    private: of all models.
    workspace: keeps the experts and the distillation under way.

  Returns:
    `images` f32[M*S,H,W,C], as the network reads them; `chosen` are the
    private rows that they began with.

  Raises:
    UserError: see `make`; stored experts that do not fit; a loss that is no
      longer finite.
  """
  options, layout = setup.options, setup.engine.layout
  by = whitening.fit(layout, private) if options.whiten else None
  trajectories, allowed = None, None
  if options.method in TRAJECTORY_METHODS:
    trajectories = experts.train(setup, key, private, by, workspace)
  if trajectories and options.method == "datm":
    allowed = datm.classified_right(setup, private, trajectories, by)
  initial = initial_images(
    stream(key, "initial"),
    private,
    options.images_per_class,
    options.initialisation,
    options.force_canaries,
    setup.outside,
    allowed,
  )
  begin = _begin(setup, initial, by, trajectories)
  found = distil(setup, key, private, begin, by, trajectories, workspace)
  images, labels, rate = map(np.asarray, found)
  models, size = images.shape[:2]
  return TrainingSet(
    images=images.reshape(-1, *images.shape[2:]),
    labels=labels.reshape(-1, *labels.shape[2:]),
    members=np.arange(models * size, dtype=np.int32).reshape(models, size),
    learning_rate=rate if trajectories else None,
    whitening=by,
    chosen=initial.rows,
  )


def _setup(engine: Engine, options: Options, private: Private) -> Setup:
  shape = private.images.shape[1:]
  outside = _outside(options, private)
  check(
    private,
    options.images_per_class,
    options.initialisation,
    options.force_canaries,
    outside,
  )
  _, counts = real.by_class(private)
  return Setup(
    options,
    make_network(options, shape, private.num_classes),
    engine,
    private.num_classes,
    # The same for all models and classes, so that nothing is ragged.
    max(1, min(options.real_batch, int(counts.min()))),
    outside,
  )


def _outside(options: Options, private: Private) -> ClassImages | None:
  """The public images to begin with, which must not be private ones."""
  if options.initialisation != "outside":
    return None
  source, folder = options.initial_source, options.initial_dir or None
  with prefixed(f"initial_source={source!r}, initial_dir={folder!r}"):
    found = class_images(
      source,
      private.images.shape[1:],
      private.num_classes,
      folder,
      max(100, options.images_per_class),
    )
  own = {image.tobytes() for image in private.images}
  shared = sum(image.tobytes() in own for image in found.images)
  if shared:
    raise UserError(
      f"initial_source={source!r}: {shared} of its {len(found.images)} images"
      " are among the private ones; must be a source without them"
    )
  return found


def _begin(
  setup: Setup,
  initial: Initial,
  by: Whitening | None,
  trajectories: experts.Trajectories | None,
) -> Synthetic:
  """The sets before the first iteration, leaves [M,...]."""
  options, layout = setup.options, setup.engine.layout
  images = initial.images
  if images.dtype == np.uint8:
    read = layout.compile(lambda own, by, _: setup.read(own, by))
    images = layout.gather(read(layout.place(images), layout.place(by), None))
  models = len(images)
  labels = np.repeat(
    np.arange(setup.num_classes, dtype=np.int32), options.images_per_class
  )
  if options.label_learning_rate and trajectories:
    all_labels = datm.soft_labels(setup, images, labels, trajectories)
  else:
    all_labels = np.broadcast_to(labels, (models, len(labels)))
  rate = np.full(models, options.learning_rate_start, np.float32)
  return Synthetic(*map(jnp.asarray, (images, all_labels, rate)))
