"""Accuracy of classifiers that learn from synthetic images alone.

By the protocol of DPImageBench (Gong et al., arXiv 2503.14681): the epoch whose
network is judged is chosen on synthetic images that were held out of its
training, never on real ones, which would flatter the images and, where there is
a guarantee, break it.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from syndata_jax import models
from syndata_jax.data import Dataset, augmentation
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import (
  Engine,
  Layout,
  Learner,
  Own,
  Pool,
  Recipe,
  Workspace,
  data,
  filled,
  predict,
  sgd,
  variables,
)
from syndata_jax.ensemble.predict import images_at_once
from syndata_jax.ensemble.sgd import ModelState

STAGE = "classifier"
HELD_OUT = 0.1  # of each model's images

# A small network, the same for every paradigm. Batch norm: an instance norm has
# nothing left to say of a feature map of few pixels, as of small images.
_NETWORK = {"width": 64, "norm": "batch"}
_RECIPE = Recipe(batch_size=128, learning_rate=0.05, schedule="cosine")
_EPOCHS = 20  # at least
_UPDATES = 500  # at least: few images are presented more often


class Judged(NamedTuple):
  """What the classifiers of all models reached.

  Attributes:
    accuracy: f32[M], on all test images, of the chosen epoch.
    last: f32[M], the same of the last epoch.
    epoch: i32[M], the chosen one; 1 is the first.
    num_epochs: of the training.
    held_out: images of each model that chose the epoch; 0 where there were too
      few, and the last was taken.
  """

  accuracy: np.ndarray
  last: np.ndarray
  epoch: np.ndarray
  num_epochs: int
  held_out: int


class Best(NamedTuple):
  """One model in training, and its best network so far."""

  state: ModelState
  score: jax.Array  # f32[], share of held-out images classified right
  epoch: jax.Array  # i32[]
  variables: Any  # of the best epoch


def judge(
  dataset: Dataset,
  images: np.ndarray,
  labels: np.ndarray,
  workspace: Workspace,
  layout: Layout,
  key: jax.Array,
  dtype: Any = jnp.float32,
) -> Judged:
  """Trains a ConvNet on each model's images, all in one ensemble.

  A tenth of them is held out; the epoch that classifies most of these right is
  taken, the last of equal ones.

  Args:
    dataset: whose test images judge at the end, and which says how pixels are
      normalised.
    images: u8[M,S,H,W,C], or f32 normalised; in an order without meaning.
    labels: i32[M,S], or logits of soft ones f32[M,S,K].
    workspace: trains them, in the stage "classifier", which resumes.
    layout: which model runs where.
    key: root of every draw.
    dtype: of the computation.

  Raises:
    UserError: a loss that is no longer finite.
  """
  count = images.shape[1]
  held_out = int(count * HELD_OUT)
  learned = count - held_out
  batch = min(_RECIPE.batch_size, learned)
  engine = Engine(
    model=models.create(
      "convnet", dataset.num_classes, dtype=jnp.dtype(dtype), **_NETWORK
    ),
    recipe=dataclasses.replace(
      _RECIPE,
      batch_size=batch,
      num_epochs=max(_EPOCHS, -(-_UPDATES // -(-learned // batch))),
      shift=augmentation.shift_size(images.shape[2]),
      flip=dataset.flip,
    ),
    layout=layout.spread(len(images)),
    mean=dataset.mean,
    std=dataset.std,
    dtype=jnp.dtype(dtype),
    name="convnet",
    options=tuple(sorted(_NETWORK.items())),
  )
  best: Best = workspace.train(
    STAGE,
    engine.layout,
    functools.partial(learner, engine, held_out),
    key,
    TrainingSet(images, labels, None),
  )
  accuracy = functools.partial(_accuracy, engine, dataset)
  return Judged(
    accuracy(best.variables),
    accuracy(variables(best.state)),
    np.asarray(best.epoch),
    engine.recipe.num_epochs,
    held_out,
  )


def _accuracy(engine: Engine, dataset: Dataset, networks: Any) -> np.ndarray:
  right = predict(engine, networks, dataset.test_images).argmax(-1)
  return (right == dataset.test_labels).mean(1).astype(np.float32)


def learner(
  engine: Engine, held_out: int, training_set: TrainingSet, steps: int = 0
) -> Learner:
  """SGD that keeps the network of its best epoch.

  Args:
    engine: network and recipe.
    held_out: how many of a model's images choose, the last of them.
    training_set: a set for each model.
    steps: of an epoch, where it is to be shorter, for a trial.
  """
  images, labels, *_ = training_set
  assert images is not None and labels is not None
  part = slice(0, images.shape[1] - held_out)
  plain = sgd(
    engine,
    training_set._replace(images=images[:, part], labels=labels[:, part]),
    steps,
  )

  def taught(own: Own) -> Own:
    images, labels, _ = data(own, Pool(None, None))
    return own._replace(images=images[part], labels=labels[part])

  def init(own: Own, pool: Pool) -> Best:
    state = plain.init(taught(own), pool)
    zero = jnp.zeros((), jnp.int32)
    return Best(state, jnp.float32(-1), zero, variables(state))

  def epoch(
    best: Best, own: Own, pool: Pool
  ) -> tuple[Best, dict[str, jax.Array]]:
    state, metrics = plain.epoch(best.state, taught(own), pool)
    number = state.step // (plain.images(1) // engine.recipe.batch_size)
    score = jnp.float32(0)
    if held_out:
      images, labels, _ = data(own, pool)
      score = _share_right(
        engine, variables(state), images[part.stop :], labels[part.stop :]
      )
    better = score >= best.score
    chosen = jax.tree.map(
      functools.partial(jnp.where, better),
      Best(state, score, number, variables(state)),
      best._replace(state=state),
    )
    return chosen, metrics | {"held_out_accuracy": score}

  return plain._replace(
    init=init,
    epoch=epoch,
    release=lambda best: best.variables,
    identity={**plain.identity, "held out": held_out},
  )


def _share_right(
  engine: Engine, networks: Any, images: jax.Array, labels: jax.Array
) -> jax.Array:
  """Share of one model's images that it classifies right, f32[]."""
  count = len(images)
  if labels.ndim > 1:
    labels = labels.argmax(-1)
  size = images_at_once(count)
  batches = filled(jnp.arange(count), size, -(-count // size))

  def guess(index: jax.Array) -> jax.Array:
    read = engine.normalise(images[index])
    return models.logits(engine.model, networks, read).argmax(-1)

  guesses = lax.map(guess, batches).reshape(-1)[:count]
  return (guesses == labels).mean(dtype=jnp.float32)
