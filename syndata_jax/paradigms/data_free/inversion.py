"""The images of all models: rounds of one compiled program, kept in shards."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from syndata_jax.ensemble import Rounds, Shards, Workspace
from syndata_jax.keys import model_keys, stream
from syndata_jax.paradigms.data_free import deep_inversion, fast
from syndata_jax.paradigms.data_free import student as students
from syndata_jax.paradigms.data_free.setup import Method, Setup, Task

STAGE = "inversion"
METHODS: Mapping[str, Method] = {
  "deep_inversion": deep_inversion,
  "fast": fast,
}


class Shadow(NamedTuple):
  """What the images of one model are made from: no private row is there."""

  key: jax.Array
  teacher: Any
  student_key: jax.Array | None  # of the student that they are to deceive


class Deceived(NamedTuple):
  """The student that learns along, where there is an adversarial term."""

  pool: jax.Array  # u8[S,H,W,C], zeros where no round has been yet
  student: students.StudentState


class InversionState(NamedTuple):
  """What one model carries from round to round."""

  number: jax.Array  # i32[], finished rounds
  method: Any
  deceived: Deceived | None


def invert(
  setup: Setup,
  key: jax.Array,
  teacher: Any,
  student_keys: jax.Array | None,
  workspace: Workspace,
) -> Shards:
  """Makes the images of all models, each from its own teacher.

  Args:
    setup: settings and tools.
    key: root of every draw; model i uses its own branch.
    teacher: variables of all models, leaves [M,...].
    student_keys: typed, [M], of students that learn along; None for none.
    workspace: runs the rounds, which resume.

  Returns:
    `images` u8[M,b,H,W,C] and `labels` i32[M,b] of every round, the classes
    that the teacher names.

  Raises:
    UserError: a loss that is no longer finite.
  """
  options, layout = setup.options, setup.teacher.layout
  keys = model_keys(stream(key, STAGE), layout.num_models)
  fast_rate = "generator_learning_rate"
  looks = options.synthetic_batch * options.iterations

  def images(number: int) -> int:
    epoch = number - options.warmup_rounds
    if student_keys is None or epoch < 1:
      return looks
    return looks + students.images_shown(setup, epoch - 1)

  rounds = Rounds(
    number=setup.rounds,
    init=partial(_init, setup),
    program=make_round(setup),
    own=Shadow(keys, teacher, student_keys),
    shared=None,
    images=images,
    rate=fast_rate if options.method == "fast" else "pixel_learning_rate",
  )
  return workspace.produce(STAGE, layout, rounds)


def make_round(setup: Setup) -> Any:
  """One round of one model, a program of `Rounds`."""
  options, method = setup.options, METHODS[setup.options.method]
  learn = students.make_epoch(setup)

  def one_round(
    state: InversionState, shadow: Shadow, fed: None, shared: None
  ) -> tuple[InversionState, dict[str, jax.Array], dict[str, jax.Array]]:
    del fed, shared
    deceived, number = state.deceived, state.number
    learns = number >= options.warmup_rounds
    student = None
    if deceived is not None:
      student = partial(students.logits, setup, deceived.student)
    task = Task(
      jax.random.fold_in(shadow.key, number),
      number,
      shadow.teacher,
      student,
      jnp.where(learns, options.adversarial_weight, 0.0),
    )
    carried, pixels, loss = method.invert(setup, state.method, task)
    images = to_bytes(pixels)
    said = setup.look(shadow.teacher, setup.teacher.normalise(images)).logits
    outputs = {
      "images": images,
      "labels": said.argmax(-1).astype(jnp.int32),
    }
    metrics = {"loss": loss}
    if deceived is not None:
      pool = lax.dynamic_update_slice_in_dim(
        deceived.pool, images, number * options.synthetic_batch, 0
      )
      learnt, told = learn(
        deceived.student, shadow.student_key, pool, shadow.teacher, learns
      )
      deceived = Deceived(pool, learnt)
      metrics["student_loss"] = told["loss"]
    return InversionState(number + 1, carried, deceived), metrics, outputs

  return one_round


def to_bytes(pixels: jax.Array) -> jax.Array:
  """Pixels f32 in [0, 1] -> u8, cut off and not rounded, as in Aerni et al."""
  return (jnp.clip(pixels, 0, 1) * 255).astype(jnp.uint8)


def _init(setup: Setup, shadow: Shadow, shared: None) -> InversionState:
  del shared
  deceived = None
  if shadow.student_key is not None:
    deceived = Deceived(
      jnp.zeros((setup.pool_size, *setup.image_shape), jnp.uint8),
      students.init(setup, shadow.student_key),
    )
  method = METHODS[setup.options.method]
  return InversionState(
    jnp.zeros((), jnp.int32), method.init(setup, shadow.key), deceived
  )
