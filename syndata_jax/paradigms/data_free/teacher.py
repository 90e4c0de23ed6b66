"""The teacher: each shadow's own network, trained without a defence.

It is private as the data are: what it makes of any image may carry what it has
memorised.
"""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from syndata_jax import models
from syndata_jax.data.training_set import Private, private_set
from syndata_jax.ensemble import (
  Engine,
  Workspace,
  sgd,
  steps_per_epoch,
  training,
  variables,
)
from syndata_jax.errors import UserError, prefixed
from syndata_jax.keys import stream
from syndata_jax.models import watch
from syndata_jax.paradigms.data_free.losses import Statistics
from syndata_jax.paradigms.data_free.options import SharedOptions

STAGE = "teacher"


class Seen(NamedTuple):
  """What a teacher makes of a batch.

  Attributes:
    logits: f32[B,K].
    batch: statistics of each layer's input, over this batch.
    running: those that the layer has stored.
  """

  logits: jax.Array
  batch: tuple[Statistics, ...]
  running: tuple[Statistics, ...]


def make_engine(
  engine: Engine, options: SharedOptions, private: Private
) -> Engine:
  """Network and recipe of the teacher.

  Args:
    engine: of the audited networks, the students.
    options: what is different of the teacher.
    private: what it learns from.

  Raises:
    UserError: no such network, one without batch norm, or a batch larger than
      one model's data.
  """
  name = options.teacher_model or engine.name
  chosen = options.teacher_model_options
  model, network_options = engine.model, engine.options
  if options.teacher_model or chosen:
    with prefixed("teacher_model"):
      wanted = models.accepted(name, dtype=engine.dtype)
      model = models.create(name, private.num_classes, **wanted | chosen)
      models.check(
        model,
        private.images.shape[1:],
        private.num_classes,
        engine.dtype,
        name,
      )
    network_options = tuple(sorted(chosen.items()))
  recipe = engine.recipe
  recipe = dataclasses.replace(
    recipe,
    num_epochs=options.teacher_epochs or recipe.num_epochs,
    batch_size=options.teacher_batch or recipe.batch_size,
    learning_rate=options.teacher_learning_rate or recipe.learning_rate,
  )
  with prefixed(STAGE):
    steps_per_epoch(recipe, private.members.shape[1])
  teacher = engine._replace(
    model=model, recipe=recipe, name=name, options=network_options
  )
  _check_batch_norm(teacher, private.images.shape[1:])
  return teacher


def train(
  engine: Engine,
  options: SharedOptions,
  key: jax.Array,
  private: Private,
  workspace: Workspace,
) -> dict[str, Any]:
  """Trains the teachers of all models, or takes those of a finished run.

  Args:
    engine: of the teacher.
    options: where finished teachers are.
    key: root of every draw.
    private: of all models; each teacher sees its own model's members alone.
    workspace: runs the stage.

  Returns:
    What `engine.model.apply` takes, NumPy arrays [M,...].

  Raises:
    UserError: finished networks of another architecture, training, data set or
      split, or damaged ones.
  """
  training_set, make_learner = private_set(private), partial(sgd, engine)
  if not options.teacher:
    state = workspace.train(
      STAGE, engine.layout, make_learner, stream(key, STAGE), training_set
    )
    return variables(state)
  folder = Path(options.teacher).expanduser()
  if (folder / "ensemble").is_dir():
    folder = folder / "ensemble"
  checkpoints = workspace.reuse(
    "teacher", str(folder), make_learner, training_set
  )
  rounds = training(make_learner(training_set), key, training_set)
  stored = checkpoints.latest(rounds.shapes())
  assert stored is not None  # `reuse` has found it sound
  return variables(stored[1])


def look(engine: Engine, teacher: Any, images: jax.Array) -> Seen:
  """Shows a batch to one teacher, in evaluation mode.

  Args:
    engine: of the teacher.
    teacher: its variables.
    images: as the network reads them, [B,H,W,C].
  """
  with watch.calls([nn.BatchNorm]) as seen:
    logits: Any = engine.model.apply(
      teacher, images.astype(engine.dtype), False
    )
  batch, running = [], []
  for call in seen:
    x = call.inputs[0].astype(jnp.float32)
    axes = tuple(range(x.ndim - 1))
    batch.append((x.mean(axes), x.var(axes)))
    stored = teacher["batch_stats"]
    for part in call.module.path:
      stored = stored[part]
    running.append((stored["mean"], stored["var"]))
  return Seen(logits, tuple(batch), tuple(running))


def _check_batch_norm(engine: Engine, shape: tuple[int, ...]) -> None:
  def trial(images: jax.Array) -> int:
    fresh = engine.model.init(jax.random.key(0), images, False)
    with watch.calls([nn.BatchNorm]) as seen:
      engine.model.apply(fresh, images, False)
    layers.append(len(seen))
    return 0

  layers: list[int] = []
  jax.eval_shape(trial, jax.ShapeDtypeStruct((2, *shape), engine.dtype))
  if not layers[0]:
    raise UserError(
      f"model={engine.name!r}: the teacher of data_free must have batch norm,"
      " such as model_options={'norm': 'batch'}"
    )
