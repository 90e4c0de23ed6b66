"""Private Evolution: learning from samples that the private data voted for.

Every shadow model evolves samples of a public generator by the noisy votes of
its members alone; the last ones are what is released and learned from. Nothing
is trained on private data. Source: Lin et al., "Differentially Private
Synthetic Data via Foundation Model APIs 1: Images", arXiv 2305.15560.
"""

from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from syndata_jax.data.training_set import Private, TrainingSet
from syndata_jax.ensemble import Engine, Workspace, sgd, steps_per_epoch
from syndata_jax.errors import UserError
from syndata_jax.evolution import apis, opening
from syndata_jax.evolution.api import Api
from syndata_jax.evolution.embedding import Embedding, of_records
from syndata_jax.evolution.population import labels_of
from syndata_jax.evolution.tools import prepared
from syndata_jax.keys import stream
from syndata_jax.paradigms.interface import Paradigm
from syndata_jax.paradigms.private_evolution import apart, together
from syndata_jax.paradigms.private_evolution.embedding import (
  EmbeddingOptions,
  make_embedding,
)
from syndata_jax.paradigms.private_evolution.guarantee import (
  empty_ledger,
  guarantee,
)
from syndata_jax.paradigms.private_evolution.options import Options

__all__ = [
  "EmbeddingOptions",
  "Options",
  "make",
  "make_embedding",
  "synthesize",
]


class Setup(NamedTuple):
  """Settings and tools of one evolution."""

  options: Options
  engine: Engine  # its layout
  api: Api


def make(engine: Engine, options: Options, private: Private) -> Paradigm:
  """Evolves first, then learns by the engine's recipe.

  Raises:
    UserError: a generator that cannot make such images or has seen private
      ones, a guarantee that cannot be given, sizes that do not fit, or several
      processes.
  """
  height, width, channels = private.images.shape[1:]
  api = apis.create(
    options.api, (height, width, channels), private.num_classes, options
  )
  apis.refuse_private(api, private.images)
  sizes = options.class_sizes(private.num_classes)
  if min(sizes) < options.nearest:
    raise UserError(
      f"nearest={options.nearest}: must be at most {min(sizes)}, the samples of"
      " the smallest class"
    )
  steps_per_epoch(engine.recipe, sum(sizes))
  if jax.process_count() > 1:
    raise UserError(
      "paradigm='private_evolution': must run in one process; several devices"
      " of one share the models"
    )
  return Paradigm(
    queried=engine,
    synthesize=partial(synthesize, Setup(options, engine, api)),
    learner=partial(sgd, engine),
    statement=guarantee(options, api, private),
  )


def synthesize(
  setup: Setup, key: jax.Array, private: Private, workspace: Workspace
) -> TrainingSet:
  """The evolved sets of all models.

  Args:
    setup: settings and tools.
    key: root of every draw.
    private: of all models.
    workspace: learns the space of the votes, and evolves.

  Returns:
    `images` u8[M,S,H,W,C] and `labels` i32[M,S], the classes in their order.

  Raises:
    UserError: a generator that fails.
  """
  options, engine, api = setup
  channels = private.images.shape[-1]
  embedding = make_embedding(
    options, api, private.num_classes, channels, workspace, engine.layout
  )
  # It is public and takes one image at a time: what a model is told of the
  # pool are its own rows.
  pool = of_records(embedding, private.images, len(private.images))
  if api.traceable and embedding.traceable:
    images = _together(setup, embedding, pool, key, private, workspace)
  else:
    shards = workspace.produce_on_host(
      apart.STAGE,
      apart.rounds(
        options,
        api,
        embedding,
        empty_ledger(options, private),
        private,
        pool,
        stream(key, apart.STAGE),
        workspace.folder / apart.STAGE,
      ),
    )
    images = np.concatenate([shard["images"] for shard in shards])
  labels = np.asarray(labels_of(options.class_sizes(private.num_classes)))
  return TrainingSet(images, np.tile(labels, (len(images), 1)), None)


def _together(
  setup: Setup,
  embedding: Embedding,
  pool: np.ndarray,
  key: jax.Array,
  private: Private,
  workspace: Workspace,
) -> np.ndarray:
  """The images of all models, evolved in one program: u8[M,S,H,W,C].

  Args:
    setup: settings and tools.
    embedding: a traceable one.
    pool: of the private images, embedded f32[N,D].
    key: root of every draw.
    private: of all models.
    workspace: runs the stage.
  """
  options, engine, api = setup
  sizes = options.class_sizes(private.num_classes)
  delta = options.delta_of(private.members.shape[1])
  noises = together.noises_of(opening.divided(options, delta).plan)
  safe = prepared(api, embedding, options)
  state = workspace.repeat(
    together.STAGE,
    engine.layout,
    together.rounds(
      options,
      safe,
      embedding,
      sizes,
      noises,
      private,
      pool,
      stream(key, together.STAGE),
    ),
  )
  draw = together.rendered(safe, options, sizes)
  return np.asarray(engine.layout.map(draw, state), np.uint8)
