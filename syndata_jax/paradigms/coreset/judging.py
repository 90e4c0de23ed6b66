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
import jax.numpy as jnp
import numpy as np

from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import Engine, Workspace, sgd
from syndata_jax.ensemble.epoch import Own, Pool
from syndata_jax.ensemble.state import variables
from syndata_jax.ensemble.train import model_keys
from syndata_jax.keys import stream
from syndata_jax.paradigms.coreset import greedy
from syndata_jax.paradigms.coreset.forgetting import counts, recording_sgd
from syndata_jax.paradigms.coreset.options import Options
from syndata_jax.paradigms.coreset.outputs import outputs, over_members
from syndata_jax.paradigms.coreset.scores import SCORES


def judge(
  engine: Engine,
  options: Options,
  root: jax.Array,
  training_set: TrainingSet,
  group: np.ndarray,
  picks: int,
  workspace: Workspace = Workspace(),  # noqa: B008, immutable
) -> np.ndarray:
  """The score of every member, the mean over the selection networks.

  Args:
    engine: of the final training.
    options: the method; not "random", which needs no network.
    root: each network of each model draws from its own branch.
    training_set: the private data.
    group: i32[M,n], of each member.
    picks: the most that any group of any model keeps.
    workspace: keeps the networks in training.

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
  learner = (recording_sgd if forgetting else sgd)(engine, training_set)

  def one_network(number: int) -> np.ndarray:
    key = jax.random.fold_in(stream(root, "network"), number)
    state: Any = workspace.train(
      f"selection_{number}", engine.layout, learner, key, training_set
    )
    if forgetting:
      meetings = options.epochs
      return np.asarray(counts(state.history, meetings, options.never_learned))
    return _scored(
      engine, options.method, key, variables(state), training_set, group, picks
    )

  return np.mean([one_network(i) for i in range(options.networks)], axis=0)


def _scored(
  engine: Engine,
  method: str,
  key: jax.Array,
  trained: Any,
  training_set: TrainingSet,
  group: np.ndarray,
  picks: int,
) -> np.ndarray:
  """The judgement of trained networks (their variables, leaves [M,...])."""
  layout, num_groups = engine.layout, int(group.max()) + 1

  def of_one(trained: Any, data: tuple[Own, jax.Array], pool: Pool):
    own, group = data
    look = partial(outputs, engine, trained)
    if method in SCORES:
      score = SCORES[method]
      return over_members(lambda x, y: score(look(x), y), own, pool)
    embedding = over_members(lambda x, y: look(x).embedding, own, pool)
    if method == "herding":
      return greedy.herding(embedding, group, num_groups, picks)
    return greedy.k_center(own.key, embedding, group, num_groups, picks)

  keys = model_keys(stream(key, "first pick"), layout.num_models)
  own = Own(keys, jnp.asarray(training_set.members))
  pool = Pool(
    jnp.asarray(training_set.images), jnp.asarray(training_set.labels)
  )
  found = layout.compile(of_one)(
    layout.place(trained),
    layout.place((own, jnp.asarray(group))),
    layout.replicate(pool),
  )
  return layout.gather(found)
