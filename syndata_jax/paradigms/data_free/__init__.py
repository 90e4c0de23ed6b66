"""Data-free distillation: a student that sees no private image.

Every shadow model has a teacher of its own, trained without a defence on its
members, and images made to suit that teacher's batch-norm statistics; on them
the student learns what the teacher says. The student is released. That no
private image touches it protects nobody by itself: what the teacher says of
synthetic images carries what it has memorised (Aerni et al., arXiv 2404.17399:
72.2% TPR at 0.1% FPR on mislabelled canaries).

Two steps suffice. `synthesize` trains the teachers and makes all images, which
do not depend on the student; `learn` distils on a window of them that grows by
a round an epoch, which is the published loop in another order. An adversarial
term alone breaks this: its images are to deceive a student in training. Then
the inversion trains that student along, and `learn` repeats it from the same
key: the released student still is a function of what is released beside it,
its images and its teacher, which anyone can check; it costs a second training.
"""

from functools import partial
from typing import Any

import jax
import numpy as np

from syndata_jax.data.training_set import Private, TrainingSet
from syndata_jax.ensemble import Engine, Workspace
from syndata_jax.errors import UserError
from syndata_jax.keys import model_keys, stream
from syndata_jax.paradigms.data_free import student, teacher
from syndata_jax.paradigms.data_free.inversion import invert
from syndata_jax.paradigms.data_free.losses import (
  distillation_loss,
  statistics_loss,
)
from syndata_jax.paradigms.data_free.options import METHODS, Options
from syndata_jax.paradigms.data_free.setup import Setup
from syndata_jax.paradigms.interface import Paradigm, Queried

__all__ = [
  "METHODS",
  "Options",
  "distillation_loss",
  "make",
  "statistics_loss",
  "synthesize",
]


def make(engine: Engine, options: Options, private: Private) -> Paradigm:
  """Teachers and images first, then students that learn from both.

  Raises:
    UserError: a teacher without batch norm or that cannot be built, or a batch
      larger than the student's first pool.
  """
  height, width, channels = private.images.shape[1:]
  setup = Setup(
    options,
    engine,
    teacher.make_engine(engine, options, private),
    (height, width, channels),
    private.num_classes,
  )
  first, batch = setup.window(0), engine.recipe.batch_size
  if batch > first:
    raise UserError(
      f"batch_size={batch}: must not exceed the {first} images of the student's"
      " first epoch, those of warmup_rounds + 1 rounds"
    )

  def others(training_set: TrainingSet) -> dict[str, Queried]:
    assert training_set.released is not None
    released = training_set.released["teacher"]
    return {"teacher": Queried(setup.teacher, released)}

  return Paradigm(
    queried=engine,
    synthesize=partial(synthesize, setup),
    learner=partial(student.learner, setup),
    others=others,
  )


def synthesize(
  setup: Setup, key: jax.Array, private: Private, workspace: Workspace
) -> TrainingSet:
  """The synthetic sets of all models, and their teachers.

  Args:
    setup: settings and tools.
    key: root of every draw.
    private: of all models.
    workspace: trains the teachers, and makes the images.

  Returns:
    Each model's own set, `images` u8[M,S,H,W,C] in the order of their rounds,
    `labels` i32[M,S], the classes that the teacher names. `released` are the
    variables of the `teacher`, and the `student_key` i32[M,w] of a student that
    the images were to deceive.

  Raises:
    UserError: finished teachers that do not fit; a loss that is no longer
      finite.
  """
  options, models = setup.options, len(private.members)
  taught = teacher.train(setup.teacher, options, key, private, workspace)
  released: dict[str, Any] = {"teacher": taught}
  student_keys = None
  if options.adversarial_weight:
    student_keys = model_keys(stream(key, "student"), models)
    released[student.KEY] = np.asarray(student.to_released(student_keys))
  shards = invert(setup, key, taught, student_keys, workspace)
  return TrainingSet(
    images=shards.load("images"),
    labels=shards.load("labels"),
    members=None,
    released=released,
  )
