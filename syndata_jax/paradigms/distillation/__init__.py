"""Data-set distillation: learning from a few optimised images.

Every shadow model has a synthetic set of its own, optimised on its own
members alone. The images, with soft labels, learning rate and whitening where
there are any, are what is released.
"""

from functools import partial
from typing import Any

import jax
import numpy as np

from syndata_jax.data import ClassImages, class_images
from syndata_jax.data.training_set import Private, TrainingSet
from syndata_jax.ensemble import Engine, Workspace
from syndata_jax.errors import UserError, prefixed
from syndata_jax.keys import stream
from syndata_jax.paradigms.distillation import (
  datm,
  experts,
  methods,
  private_batches,
  whitening,
)
from syndata_jax.paradigms.distillation.distil import distil
from syndata_jax.paradigms.distillation.dm import distribution_loss
from syndata_jax.paradigms.distillation.initialisation import (
  check,
  initial_images,
)
from syndata_jax.paradigms.distillation.learner import final, pixels, queried
from syndata_jax.paradigms.distillation.methods import NAMES as METHODS
from syndata_jax.paradigms.distillation.mtt import trajectory_loss
from syndata_jax.paradigms.distillation.options import Options
from syndata_jax.paradigms.distillation.setup import Setup, make_network
from syndata_jax.paradigms.distillation.synthetic import Synthetic
from syndata_jax.paradigms.interface import Paradigm

__all__ = [
  "METHODS",
  "Options",
  "distribution_loss",
  "make",
  "synthesize",
  "trajectory_loss",
]

# Crops of each class, at least, that models begin at: ten times as many as the
# usual ten images of a class, so that models seldom begin at the same ones.
_CROPS = 100


def make(engine: Engine, options: Options, private: Private) -> Paradigm:
  """Distils first, then learns by the engine's recipe.

  Raises:
    UserError: a class with fewer members than synthetic images, or with none
      to match; a network that cannot distil; an initialisation that cannot be
      found.
  """
  setup = _setup(engine, options, private)
  return Paradigm(
    queried=queried(engine, options),
    synthesize=partial(synthesize, setup),
    learner=partial(final, engine, options),
    chosen_as="in the first images",
    shown=pixels if options.whiten else None,
  )


def synthesize(
  setup: Setup, key: jax.Array, private: Private, workspace: Workspace
) -> TrainingSet:
  """The synthetic sets of all models.

  Args:
    setup: settings and tools.
    key: root of every draw.
    private: of all models.
    workspace: trains the experts, and distils.

  Returns:
    Each model's own set: `images` f32[M,S,H,W,C], as the network reads them;
    `labels` i32[M,S], or logits f32[M,S,K]. `released` are `learning_rate`
    f32[M] of the methods that follow experts, and `whitening`, where pixels
    are whitened. `chosen` are the private rows that the images began with.

  Raises:
    UserError: stored experts that do not fit; a loss that is no longer finite.
  """
  options, layout = setup.options, setup.engine.layout
  method = methods.find(options.method)
  linear_map = whitening.fit(layout, private) if options.whiten else None
  trajectories, allowed = None, None
  if method.follows_experts:
    trajectories = experts.train(setup, key, private, linear_map, workspace)
    if method.begins_right and options.initialisation == "private":
      allowed = datm.classified_right(setup, private, trajectories, linear_map)
  images, rows = initial_images(
    stream(key, "initial"), private, options, setup.outside, allowed
  )
  begin = _begin(setup, images, linear_map, trajectories)
  synthetic = distil(
    setup, key, private, begin, linear_map, trajectories, workspace
  )
  released: dict[str, Any] = whitening.to_released(linear_map)
  if method.follows_experts:
    released["learning_rate"] = synthetic.learning_rate
  return TrainingSet(
    images=synthetic.images,
    labels=synthetic.labels,
    members=None,
    released=released or None,
    chosen=rows,
  )


def _setup(engine: Engine, options: Options, private: Private) -> Setup:
  outside = _outside(options, private)
  check(private, options, outside)
  if not options.follows_experts:
    private_batches.check(options.method, private)
  return Setup(
    options,
    make_network(options, private.images.shape[1:], private.num_classes),
    engine,
    private.num_classes,
    private_batches.places(options.real_batch, private),
    outside,
  )


def _outside(options: Options, private: Private) -> ClassImages | None:
  """The public images to begin with, which must not be private ones."""
  if options.initialisation != "outside":
    return None
  source, folder = options.initial_source, options.initial_dir or None
  with prefixed(f"initial_source={source!r}, initial_dir={folder!r}"):
    public = class_images(
      source,
      private.images.shape[1:],
      private.num_classes,
      folder,
      max(_CROPS, options.images_per_class),
    )
  known = {image.tobytes() for image in private.images}
  shared = sum(image.tobytes() in known for image in public.images)
  if shared:
    raise UserError(
      f"initial_source={source!r}: {shared} of its {len(public.images)} images"
      " are among the private ones; must be a source without them"
    )
  return public


def _begin(
  setup: Setup,
  images: np.ndarray,
  linear_map: whitening.Whitening | None,
  trajectories: experts.Trajectories | None,
) -> Synthetic:
  """The sets before the first iteration, leaves [M,...].

  Args:
    setup: settings and tools.
    images: u8[M,S,H,W,C], or f32 as the network reads them.
    linear_map: whitening of all models, None for normalised pixels.
    trajectories: the experts, which give soft labels.
  """
  options = setup.options
  if images.dtype == np.uint8:
    images = setup.engine.layout.map(
      lambda pixels, _: setup.read(*pixels), (images, linear_map)
    )
  models = len(images)
  classes = np.repeat(
    np.arange(setup.num_classes, dtype=np.int32), options.images_per_class
  )
  labels = np.tile(classes, (models, 1))
  if options.label_learning_rate and trajectories:
    labels = datm.soft_labels(setup, images, classes, trajectories)
  rate = np.full(models, options.learning_rate_start, np.float32)
  return Synthetic(images, labels, rate)
