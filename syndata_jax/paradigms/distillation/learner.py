"""The audited networks learn from the synthetic sets, with what came along."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import linen as nn

from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import Engine, Learner, sgd
from syndata_jax.ensemble.state import ModelState
from syndata_jax.paradigms.distillation import whitening
from syndata_jax.paradigms.distillation.augmentation import augment, parse
from syndata_jax.paradigms.distillation.options import Options


def final(
  engine: Engine, options: Options, training_set: TrainingSet, steps: int = 0
) -> Learner:
  """SGD by the engine's recipe on the synthetic set.

  A batch is never larger than the set, and the learning rate that was released
  with the images takes the place of the recipe's.

  Args:
    engine: network and recipe.
    options: whether the siamese augmentation is used, each image with
      parameters of its own.
    training_set: images as the network reads them.
    steps: of an epoch, where it is to be shorter, for a trial.
  """
  size = training_set.members.shape[1]
  batch = min(engine.recipe.batch_size, size)
  recipe = dataclasses.replace(engine.recipe, batch_size=batch)
  operations = parse(options.augmentation) if options.augment_final else ()

  def gather(key: jax.Array, pool: jax.Array, index: jax.Array) -> jax.Array:
    return augment(key, pool[index], operations, False)

  learner = sgd(engine._replace(recipe=recipe), training_set, steps, gather)
  by = training_set.whitening
  if by is None:
    return learner

  def finish(state: ModelState) -> ModelState:
    params, stats = whitening.released(by, state.params, state.batch_stats)
    return state._replace(params=params, batch_stats=stats)

  return learner._replace(finish=finish)


def queried(engine: Engine, options: Options) -> Engine:
  """The engine whose network reads untouched images."""
  if not options.whiten:
    return engine
  channels = len(engine.mean)
  network: nn.Module = whitening.Whitened(engine.model)
  return engine._replace(
    model=network,
    mean=(0.0,) * channels,
    std=(1.0,) * channels,
    dtype=jnp.dtype("float32"),
  )
