"""Does a paradigm keep its models apart? A trial with noise tells."""

import pathlib
import tempfile
from typing import Any, NamedTuple

import jax
import numpy as np

from syndata_jax import keys
from syndata_jax.data.training_set import (
  Private,
  TrainingSet,
  enter,
  named_leaves,
)
from syndata_jax.ensemble import Workspace
from syndata_jax.errors import UserError
from syndata_jax.paradigms.interface import Paradigm


class Outcome(NamedTuple):
  """What both steps of a paradigm gave."""

  training_set: TrainingSet  # it has entered
  variables: dict[str, Any]  # of the released networks, leaves [M,...]


def run(
  paradigm: Paradigm, key: jax.Array, private: Private, workspace: Workspace
) -> Outcome:
  """Both steps, one after the other.

  Args:
    paradigm: of the audit.
    key: root of every draw.
    private: of all models.
    workspace: runs the stages, that of the released networks among them.

  Raises:
    UserError: the paradigm refuses the data, or its set is refused.
  """
  synthesize, learn = (keys.stream(key, s) for s in ("synthesize", "learn"))
  training_set = enter(
    paradigm.synthesize(synthesize, private, workspace), private
  )
  state = workspace.train(
    "ensemble", paradigm.queried.layout, paradigm.learner, learn, training_set
  )
  return Outcome(training_set, paradigm.learner(training_set).release(state))


def check(paradigm: Paradigm, private: Private | None = None) -> None:
  """Makes sure that no model is told of data which it does not own.

  Everything that a model does not own is replaced by noise, images and labels,
  and both steps are run again with the same key. Nothing of this model may
  move: not its training set, what is released beside it, nor its network. An
  audit of a paradigm that fails is void: what leaks between models hides what
  leaks from them.

      paradigm = paradigms.create(name, engine, options, private)
      paradigms.check(paradigm)

  It takes three trainings of all models: use few small ones.

  Args:
    paradigm: to check.
    private: the data of the trial; those that the paradigm was created for if
      None.

  Raises:
    UserError: an output that moves (which one, of which model), or no data.
  """
  private = private or paradigm.private
  if private is None:
    raise UserError("paradigms.check: needs the private data of a trial")
  before = _outcome(paradigm, private)
  for model in sorted({0, len(private.members) - 1}):
    after = _outcome(paradigm, _noise(private, model))
    moved = _moved(before, after, model)
    if moved:
      raise UserError(
        f"paradigm: {', '.join(moved)} of model {model} must not follow data"
        " that the model does not own, or the audit is void"
      )


def _outcome(paradigm: Paradigm, private: Private) -> Outcome:
  with tempfile.TemporaryDirectory() as folder:
    workspace = Workspace(pathlib.Path(folder), every=10**9)
    return run(paradigm, jax.random.key(0), private, workspace)


def _noise(private: Private, model: int) -> Private:
  """Other data in every row that is not the model's own."""
  generator = keys.generator(model, "check")
  foreign = np.ones(len(private.images), bool)
  foreign[private.members[model]] = False
  images, labels = private.images.copy(), private.labels.copy()
  images[foreign] = generator.integers(
    0, 256, images[foreign].shape, images.dtype
  )
  labels[foreign] = generator.permutation(labels[foreign])
  return private._replace(images=images, labels=labels)


def _moved(before: Outcome, after: Outcome, model: int) -> list[str]:
  """Names of one model's outputs that are not the same."""
  there, here = _of_model(before, model), _of_model(after, model)
  return sorted(
    name
    for name in there.keys() | here.keys()
    if name not in there
    or name not in here
    or not np.array_equal(there[name], here[name])
  )


def _of_model(outcome: Outcome, model: int) -> dict[str, np.ndarray]:
  training_set, variables = outcome
  images, labels = training_set.of_model(model)
  outputs = {"images": images, "labels": labels}
  if training_set.chosen is not None:
    outputs["chosen"] = training_set.chosen[model]
  for name, leaf in named_leaves(training_set.released or {}):
    outputs[f"released {name}"] = leaf[model]
  for name, leaf in named_leaves(variables):
    outputs[name] = leaf[model]
  return outputs
