"""The audited networks learn from the synthetic sets, with what came along."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import Engine, Learner, Own, sgd
from syndata_jax.ensemble.sgd import ModelState
from syndata_jax.paradigms.distillation import whitening
from syndata_jax.paradigms.distillation.options import ImageOptions
from syndata_jax.paradigms.distillation.siamese import augment, parse


def final(
  engine: Engine,
  options: ImageOptions,
  training_set: TrainingSet,
  steps: int = 0,
) -> Learner:
  """SGD by the engine's recipe on the synthetic sets.

  A batch is never larger than the set. A learning rate that was released with
  the images takes the place of the recipe's peak, and a whitening becomes part
  of the network that is queried.

  Args:
    engine: network and recipe.
    options: whether the siamese augmentation is used, each image with
      parameters of its own.
    training_set: images as the network reads them.
    steps: of an epoch, where it is to be shorter, for a trial.
  """
  batch = min(engine.recipe.batch_size, training_set.size)
  recipe = dataclasses.replace(engine.recipe, batch_size=batch)
  released = training_set.released or {}
  operations = parse(options.augmentation) if options.augment_final else ()

  def gather(key: jax.Array, images: jax.Array, index: jax.Array) -> jax.Array:
    return augment(key, images[index], operations, False)

  def rescale(update: Any, own: Own) -> Any:
    # The rate is the last factor of an update.
    factor = own.released["learning_rate"] / recipe.learning_rate
    return jax.tree.map(lambda u: factor * u, update)

  learner = sgd(
    engine._replace(recipe=recipe),
    training_set,
    steps,
    gather,
    rescale if "learning_rate" in released else None,
  )
  learner = learner._replace(
    identity={**learner.identity, "siamese augmentation": list(operations)}
  )
  linear_map = whitening.from_released(released)
  if linear_map is None:
    return learner

  def release(state: ModelState) -> dict[str, Any]:
    return whitening.variables(linear_map, state.params, state.batch_stats)

  return learner._replace(release=release)


def queried(engine: Engine, options: ImageOptions) -> Engine:
  """The engine whose network reads untouched images."""
  if not options.whiten:
    return engine
  channels = len(engine.mean)
  return engine._replace(
    model=whitening.Whitened(engine.model),
    mean=(0.0,) * channels,
    std=(1.0,) * channels,
    dtype=jnp.dtype("float32"),
  )


def pixels(training_set: TrainingSet, model: int) -> np.ndarray:
  """The whitened images of one model, back in [0, 1] before they were moved.

  Args:
    training_set: it has entered; the whitening was released with it.
    model: which.

  Returns:
    f32[S,H,W,C].
  """
  images, _ = training_set.of_model(model)
  linear_map = whitening.from_released(training_set.released)
  assert linear_map is not None
  mean, matrix = linear_map.mean[model], linear_map.matrix[model]
  flat = np.linalg.solve(matrix, images.reshape(len(images), -1).T).T + mean
  return flat.reshape(images.shape)
