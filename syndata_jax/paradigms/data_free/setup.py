"""What both methods of data-free distillation work with."""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from syndata_jax.ensemble import Engine
from syndata_jax.keys import stream
from syndata_jax.paradigms.data_free import teacher as teachers
from syndata_jax.paradigms.data_free.options import Options


class Setup(NamedTuple):
  """Settings and tools of one data-free distillation.

  Attributes:
    options: the settings.
    student: the tools of the audited networks.
    teacher: those of the teachers.
    image_shape: (H, W, C).
    num_classes: K.
  """

  options: Options
  student: Engine
  teacher: Engine
  image_shape: tuple[int, int, int]
  num_classes: int

  @property
  def rounds(self) -> int:
    """Of the inversion, each of which adds images to the pool."""
    return self.options.warmup_rounds + self.student.recipe.num_epochs

  @property
  def pool_size(self) -> int:
    """Images of one model after the last round."""
    return self.rounds * self.options.synthetic_batch

  def window(self, epoch: int | jax.Array) -> Any:
    """Images that are there in an epoch of the student; 0 is the first."""
    rounds = self.options.warmup_rounds + epoch + 1
    return rounds * self.options.synthetic_batch

  def read(self, pixels: jax.Array) -> jax.Array:
    """Pixels in [0, 1] as the networks read them, f32."""
    mean, std = map(jnp.asarray, (self.student.mean, self.student.std))
    return (pixels - mean) / std

  def look(self, teacher: Any, images: jax.Array) -> teachers.Seen:
    """See `teacher.look`."""
    return teachers.look(self.teacher, teacher, images)


class Student(Protocol):
  """The student that adversarial images are to deceive.

  `(images as it reads them [B,H,W,C]) -> logits f32[B,K]`, evaluation mode.
  """

  def __call__(self, images: jax.Array) -> jax.Array: ...


class Task(NamedTuple):
  """What one round is to make images for.

  Attributes:
    key: of the round.
    number: i32[], 0 is the first.
    teacher: its variables.
    student: None without an adversarial term.
    adversarial: f32[], the weight of that term now.
  """

  key: jax.Array
  number: jax.Array
  teacher: Any
  student: Student | None
  adversarial: jax.Array

  def targets(self, setup: Setup) -> jax.Array:
    """The labels drawn beforehand, i32[B]."""
    size = (setup.options.synthetic_batch,)
    key = stream(self.key, "targets")
    return jax.random.randint(key, size, 0, setup.num_classes)


class Method(Protocol):
  """How a method makes the images of a round, of one model."""

  def init(self, setup: Setup, key: jax.Array) -> Any:
    """What it carries from round to round, a pytree of arrays; () for nothing.

    Args:
      setup: settings and tools.
      key: of the model.
    """
    ...

  def invert(
    self, setup: Setup, state: Any, task: Task
  ) -> tuple[Any, jax.Array, jax.Array]:
    """One round.

    Args:
      setup: settings and tools.
      state: what it carries.
      task: what the images are for.

    Returns:
      (what it carries on, pixels f32[B,H,W,C] in [0, 1], their loss f32[]).
    """
    ...


def jitter(
  key: jax.Array, images: jax.Array, shift: int, flip: bool, roll: bool
) -> jax.Array:
  """A whole batch shifted and mirrored by one draw.

  Args:
    key: of the draw.
    images: [B,H,W,C].
    shift: largest, in pixels; 0 for none.
    flip: whether it may be mirrored.
    roll: whether pixels shifted out come in on the other side; otherwise
      zeros do.

  Returns:
    [B,H,W,C].
  """
  if shift:
    offset = jax.random.randint(stream(key, "shift"), (2,), -shift, shift + 1)
    if roll:
      images = jnp.roll(images, offset, (1, 2))
    else:
      border = (0, 0), (shift, shift), (shift, shift), (0, 0)
      start = (0, *(shift + offset), 0)
      images = jax.lax.dynamic_slice(
        jnp.pad(images, border), start, images.shape
      )
  if flip:
    mirrored = jax.random.bernoulli(stream(key, "flip"))
    images = jnp.where(mirrored, images[:, :, ::-1], images)
  return images
