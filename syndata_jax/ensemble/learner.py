"""The contract between a paradigm and the engine: how one model learns.

A `Learner` is written for one model. The engine maps it over all models,
places what each owns on its device, compiles, times, and checkpoints.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from syndata_jax.data.training_set import TrainingSet

# On the host while a stage is described, on a device once it runs.
Array = Any


class Own(NamedTuple):
  """What belongs to one model; each device holds that of its own models."""

  key: jax.Array  # its typed key: all its draws come from here
  rows: Array | None = None  # i32[n] of the pool; None with own images
  images: Array | None = None  # [S,H,W,C], where it owns its set
  labels: Array | None = None  # i32[S] or f32[S,K], where it owns its set
  released: Any = None  # nested dicts: its part of `TrainingSet.released`


class Pool(NamedTuple):
  """What all models share; every device holds all of it."""

  images: Array | None  # u8[N,H,W,C], or f32 as the network reads them
  labels: Array | None  # i32[N], or f32[N,K], logits of soft labels
  shared: Any = None  # the learner's own, such as a frozen base


class Data(NamedTuple):
  """What one model reads, whichever form its training set has."""

  images: jax.Array  # [N,H,W,C]
  labels: jax.Array  # i32[N] or f32[N,K]
  rows: jax.Array  # i32[n], those that the model learns from


def data(own: Own, pool: Pool) -> Data:
  """The pool and the model's rows of it, or the model's own set."""
  if own.rows is not None:
    assert pool.images is not None and pool.labels is not None
    return Data(pool.images, pool.labels, own.rows)
  assert own.images is not None and own.labels is not None
  rows = jnp.arange(own.images.shape[0], dtype=jnp.int32)
  return Data(own.images, own.labels, rows)


class Learner(NamedTuple):
  """Pure functions of one model's state, data and keys.

  Attributes:
    num_epochs: of the whole training, at least 1.
    images: `(epoch) ->` examples presented to one model in it; 1 is the first.
    init: `(own, pool) -> state`, a fresh model: a pytree of arrays.
    epoch: `(state, own, pool) -> (state, metrics)`; the metrics are named
      scalars, such as `loss` (which must stay finite) and `accuracy`.
    release: `(state) -> variables` of the network that is queried; called on
      the host with the states of all models, leaves [M,...].
    shared: a pytree of arrays that every model reads as `pool.shared`.
    setting: the field that says how long it learns, for errors.
    rate: the field to lower where the loss diverges, for errors.
    canaries: `(state) -> (included bool[M,k], scores f32[M,k])` of canaries
      that the learner has planted and watched itself, on the host; None
      without.
    identity: JSON-ready facts that decide the trained states beside data and
      key: a finished stage is reused only under the same ones.
  """

  num_epochs: int
  images: Callable[[int], int]
  init: Callable[[Own, Pool], Any]
  epoch: Callable[[Any, Own, Pool], tuple[Any, dict[str, jax.Array]]]
  release: Callable[[Any], dict[str, Any]]
  shared: Any = None
  setting: str = "num_epochs"
  rate: str = "learning_rate"
  canaries: Callable[[Any], tuple[Array, Array]] | None = None
  identity: Mapping[str, Any] = {}


class MakeLearner(Protocol):
  """Builds the learner for a training set.

  def make(training_set, steps=0):
    return sgd(engine, training_set, steps)
  """

  def __call__(self, training_set: TrainingSet, steps: int = 0) -> Learner:
    """The learner.

    Args:
      training_set: of all models; it has entered, its images are not None.
      steps: updates of an epoch where it is to be shorter than the data: a
        trial, whose times tell what the whole will take. 0 for whole epochs.

    Raises:
      UserError: settings that do not fit this set.
    """
    ...
