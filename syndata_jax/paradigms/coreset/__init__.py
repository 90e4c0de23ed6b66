"""Coreset selection: learning from a chosen part of the private data.

Every shadow model chooses among its own members, by what its own selection
networks make of them, or at random. What is kept is real and unchanged, so a
canary that is kept is as exposed as without any defence.
"""

import functools

import jax
import numpy as np

from syndata_jax import models
from syndata_jax.data.training_set import Private, TrainingSet, private_set
from syndata_jax.ensemble import Engine, Workspace, sgd, steps_per_epoch
from syndata_jax.keys import stream
from syndata_jax.paradigms.coreset.budget import groups, quotas
from syndata_jax.paradigms.coreset.forgetting import forgetting_counts
from syndata_jax.paradigms.coreset.judging import judge
from syndata_jax.paradigms.coreset.options import EMBEDDED, METHODS, Options
from syndata_jax.paradigms.coreset.ranking import highest, random_orders
from syndata_jax.paradigms.interface import Paradigm

__all__ = [
  "METHODS",
  "Options",
  "forgetting_counts",
  "make",
  "select",
]


def make(engine: Engine, options: Options, private: Private) -> Paradigm:
  """Chooses first, then learns by the engine's recipe.

  Raises:
    UserError: more examples than a class has in some model, a fraction of
      nothing, a batch larger than what one model keeps, or a network without
      the embedding that the method reads.
  """
  if options.method in EMBEDDED:
    shape, reader = private.images.shape[1:], f"method={options.method!r}"
    models.check_embedding(engine.model, shape, reader)
  steps_per_epoch(engine.recipe, int(quotas(options, private)[0].sum()))
  return Paradigm(
    engine,
    functools.partial(select, engine, options),
    functools.partial(sgd, engine),
  )


def select(
  engine: Engine,
  options: Options,
  key: jax.Array,
  private: Private,
  workspace: Workspace,
) -> TrainingSet:
  """The private pool, with fewer rows for each model.

  The highest scores of each group are kept. Equal scores are in a random
  order of each model's own; the random method has equal scores alone.

  Args:
    engine: its network and recipe also judge the examples.
    options: method and size.
    key: root of every draw of the selection.
    private: of all models.
    workspace: runs the selection networks.

  Returns:
    Rows of the private pool, `members` i32[M,m] ascending; `chosen` is the
    same.

  Raises:
    UserError: see `make`.
  """
  members, quota = private.members, quotas(options, private)
  group, scores = groups(options, private), np.zeros(members.shape, np.float32)
  if options.method != "random":
    scores = judge(
      engine,
      options,
      stream(key, "selection"),
      private_set(private),
      group,
      int(quota.max()),
      workspace,
    )
  order = random_orders(stream(key, "ties"), *members.shape)
  each = zip(members, scores, group, quota, order, strict=True)
  chosen = np.stack([rows[highest(*of_model)] for rows, *of_model in each])
  return TrainingSet(None, None, chosen, chosen=chosen)
