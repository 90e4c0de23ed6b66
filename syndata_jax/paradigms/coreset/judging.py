"""How each model's own networks judge that model's own members.

Every shadow model has selection networks of its own, trained on its members
alone with the SGD of the engine's recipe: its learning rate held constant, no
warm-up and no augmentation (DeepCore, Guo et al., arXiv 2204.08499, without
its Nesterov momentum).
"""

import dataclasses
from functools import partial
from typing import Any

import jax
import numpy as np

from syndata_jax import models
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import (
  Engine,
  Own,
  Pool,
  Workspace,
  over_members,
  sgd,
  variables,
)
from syndata_jax.keys import model_keys, stream
from syndata_jax.paradigms.coreset import greedy
from syndata_jax.paradigms.coreset.forgetting import counts, recording_sgd
from syndata_jax.paradigms.coreset.options import EMBEDDED, Options
from syndata_jax.paradigms.coreset.scores import SCORES, Outputs


def judge(
  engine: Engine,
  options: Options,
  root: jax.Array,
  training_set: TrainingSet,
  group: np.ndarray,
  picks: int,
  workspace: Workspace,
) -> np.ndarray:
  """The score of every member, the mean over the selection networks.

  Args:
    engine: of the final training.
    options: the method; not "random", which needs no network.
    root: each network of each model draws from its own branch.
    training_set: the private data.
    group: i32[M,n], of each member.
    picks: the most that any group of any model keeps.
    workspace: runs the networks' training.

  Returns:
    f32[M,n], in the order of the members; the highest are to be kept.
  """
  recipe = dataclasses.replace(
    engine.recipe,
    num_epochs=options.epochs,
    schedule="constant",
    warmup_epochs=0.0,
    shift=0,
    flip=False,
  )
  engine = engine._replace(recipe=recipe)
  forgetting = options.method == "forgetting"
  make_learner = partial(recording_sgd if forgetting else sgd, engine)

  def one_network(number: int) -> np.ndarray:
    key = jax.random.fold_in(stream(root, "network"), number)
    state: Any = workspace.train(
      f"selection_{number}", engine.layout, make_learner, key, training_set
    )
    if forgetting:
      meetings = options.epochs
      return np.asarray(counts(state.history, meetings, options.never_learned))
    judged = partial(_judged, engine, options.method)
    return judged(key, variables(state), training_set, group, picks)

  return np.mean([one_network(i) for i in range(options.networks)], axis=0)


def _judged(
  engine: Engine,
  method: str,
  key: jax.Array,
  trained: Any,
  training_set: TrainingSet,
  group: np.ndarray,
  picks: int,
) -> np.ndarray:
  """What trained networks say of the members of their models, f32[M,n].

  Args:
    engine: of the networks.
    method: one of `SCORES`, or a greedy one.
    key: of the first picks.
    trained: variables of all models, leaves [M,...].
    training_set: the private data.
    group: i32[M,n].
    picks: the most that any group keeps.
  """
  num_groups = int(group.max()) + 1

  def of_one(data: tuple[Any, Own, jax.Array], pool: Pool) -> jax.Array:
    trained, own, group = data

    def look(images: jax.Array) -> Outputs:
      images = engine.normalise(images)
      if method not in EMBEDDED:
        return Outputs(None, models.logits(engine.model, trained, images))
      return Outputs(*models.outputs(engine.model, trained, images))

    if method in SCORES:
      score = SCORES[method]
      return over_members(lambda x, y: score(look(x), y), own, pool)
    embedding = over_members(lambda x, y: look(x).read(), own, pool)
    if method == "herding":
      return greedy.herding(embedding, group, num_groups, picks)
    return greedy.k_center(own.key, embedding, group, num_groups, picks)

  keys = model_keys(stream(key, "first pick"), engine.layout.num_models)
  own = Own(keys, training_set.members)
  pool = Pool(training_set.images, training_set.labels)
  return engine.layout.map(of_one, (trained, own, group), pool)
