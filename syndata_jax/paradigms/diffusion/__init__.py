"""Diffusion: learning from samples of a diffusion model of the private data.

Every shadow model has a diffusion model of its own, trained or fine-tuned on
its members alone; what it samples, from noise or from private images, is what
is released and learned from.
"""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax

from syndata_jax import files, identity
from syndata_jax.data.training_set import Private, TrainingSet, private_set
from syndata_jax.diffusion import origins, size
from syndata_jax.diffusion.base import load, refuse_private
from syndata_jax.diffusion.edm import precondition
from syndata_jax.diffusion.model import (
  DiffusionOptions,
  learner,
  make_network,
)
from syndata_jax.diffusion.sampler import sample
from syndata_jax.ensemble import (
  Engine,
  MakeLearner,
  Workspace,
  hosts,
  sgd,
  steps_per_epoch,
)
from syndata_jax.errors import UserError, prefixed
from syndata_jax.keys import stream
from syndata_jax.models.unet import UNet
from syndata_jax.paradigms.diffusion import sampling
from syndata_jax.paradigms.diffusion.options import Options
from syndata_jax.paradigms.interface import Paradigm

__all__ = [
  "Options",
  "make",
  "precondition",
  "sample",
  "synthesize",
]

STAGE = "diffusion"
_BASE = "base.json"
# A larger array is mapped from a file and not held in memory.
_LARGE = 1 << 30


class Setup(NamedTuple):
  """Settings and tools of one diffusion."""

  options: Options
  engine: Engine  # layout; precision of the network
  module: UNet
  base: Any = None  # parameters to begin at, None for fresh ones

  def learner(self) -> MakeLearner:
    """How a diffusion model learns."""
    rank = self.options.rank if self.options.method == "lora" else 0
    options, base = self.options, self.base
    return partial(learner, self.module, options, base=base, rank=rank)


def make(engine: Engine, options: Options, private: Private) -> Paradigm:
  """Trains and samples first, then learns by the engine's recipe.

  Raises:
    UserError: a base that does not fit or has seen private images, a network
      that does not fit the images, a class without members, a batch larger
      than one model's data, or more images than memory holds.
  """
  shape = private.images.shape[1:]
  network: DiffusionOptions = options
  params = None
  if options.method != "scratch":
    with prefixed(f"base={options.base!r}"):
      base = load(options.base, shape, private.num_classes)
      refuse_private(base, private.images)
    network, params = base.options, base.params
  module = make_network(network, shape, private.num_classes, engine.dtype)
  setup = Setup(options, engine, module, params)
  origins.check(private, options.images_per_class)
  size.check(engine.layout, private, options.images_per_class)
  setup.learner()(private_set(private))
  count = origins.count(private, options.images_per_class)
  steps_per_epoch(engine.recipe, count)
  return Paradigm(
    queried=engine,
    synthesize=partial(synthesize, setup),
    learner=partial(sgd, engine),
    chosen_as="redrawn",
  )


def synthesize(
  setup: Setup, key: jax.Array, private: Private, workspace: Workspace
) -> TrainingSet:
  """The sampled sets of all models.

  Args:
    setup: settings and tools.
    key: root of every draw.
    private: of all models.
    workspace: trains the diffusion models, and samples.

  Returns:
    `images` u8[M,S,H,W,C] and `labels` i32[M,S]: classes that were asked for,
    or those of the private images that samples began at, a canary's wrong one
    among them. `chosen` are the rows of these.

  Raises:
    UserError: another base than that which a stored stage began at; a loss
      that is no longer finite.
  """
  options, layout = setup.options, setup.engine.layout
  rows = origins.draw(key, private, options.images_per_class)
  labels = private.labels[rows]
  if options.returns_input:
    return TrainingSet(private.images[rows], labels, None, chosen=rows)
  _same_base(setup, workspace)
  members = private_set(private)
  make_learner = setup.learner()
  state = workspace.train(
    STAGE, layout, make_learner, stream(key, STAGE), members
  )
  params = make_learner(members).release(state)["params"]
  # Its state is a number, and so nothing that was sampled is sampled again.
  shards = dataclasses.replace(workspace, every=1).produce(
    sampling.STAGE,
    layout,
    sampling.rounds(
      options,
      setup.module,
      stream(key, sampling.STAGE),
      private,
      rows,
      params,
      setup.base if options.method == "lora" else None,
    ),
  )
  large = labels.size * private.images[0].nbytes > _LARGE
  mapped = large and jax.process_count() == 1  # one writer of a file
  path = workspace.folder / sampling.STAGE / "images.npy" if mapped else None
  return TrainingSet(
    images=shards.load("images", rows.shape[1], path),
    labels=labels,
    members=None,
    chosen=rows if options.sampling == "image" else None,
  )


def _same_base(setup: Setup, workspace: Workspace) -> None:
  """Refuses to go on from another base under the same name."""
  if setup.base is None:
    return
  digest = {"sha256": identity.digest(*jax.tree.leaves(setup.base))}
  path = workspace.folder / _BASE
  if not path.exists():
    if hosts.is_lead():
      workspace.folder.mkdir(parents=True, exist_ok=True)
      files.write_json(path, digest)
  elif files.read_json(path) != digest:
    raise UserError(
      f"base={setup.options.base!r}: another model than the one that"
      f" {workspace.folder} began at; name another workdir"
    )
