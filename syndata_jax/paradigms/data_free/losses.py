"""The terms that images and student follow."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

# (mean f32[C], variance f32[C]) of the inputs of one layer of batch norm
Statistics = tuple[jax.Array, jax.Array]

# Of the two networks' probabilities that the term of deep inversion compares:
# Yin et al., arXiv 1912.08795, their code.
_ADVERSARIAL_TEMPERATURE = 3.0


def statistics_loss(
  batch: Sequence[Statistics], running: Sequence[Statistics]
) -> jax.Array:
  """How far the statistics of a batch are from a network's running ones.

  The sum over layers of the L2 norms, not squared, of the differences of
  variances and of means. Source: Yin et al., arXiv 1912.08795, equation 4.

  Args:
    batch: of each layer, mean [C] and biased variance [C] of its input.
    running: of each layer, in the same order.

  Returns:
    f32[], not negative.
  """
  distances = [
    norm(here - there)
    for pair in zip(batch, running, strict=True)
    for here, there in zip(*pair, strict=True)
  ]
  return jnp.stack(distances).sum()


def distillation_loss(
  student: jax.Array, teacher: jax.Array, temperature: float
) -> jax.Array:
  """T^2 KL(teacher / student) of probabilities at temperature T.

  The factor keeps the size of the gradient. Source: Hinton et al., arXiv
  1503.02531, section 2.

  Args:
    student: logits [B,K].
    teacher: logits [B,K].
    temperature: T.

  Returns:
    f32[], the mean over the batch.
  """
  return divergences(student, teacher, temperature).mean()


def divergences(
  student: jax.Array, teacher: jax.Array, temperature: float = 1.0
) -> jax.Array:
  """`distillation_loss` of each example, f32[B]."""
  wanted = jax.nn.log_softmax(teacher / temperature)
  said = jax.nn.log_softmax(student / temperature)
  return temperature**2 * (jnp.exp(wanted) * (wanted - said)).sum(-1)


def disagreement(student: jax.Array, teacher: jax.Array) -> jax.Array:
  """What a generator is to increase: f32[], the mean over the batch.

  KL(teacher / student), of those images alone that both put into one class:
  others have gone too far. Source: Fang et al., arXiv 2112.15278, their code.

  Args:
    student: logits [B,K].
    teacher: logits [B,K].
  """
  agree = student.argmax(-1) == teacher.argmax(-1)
  return (divergences(student, teacher) * agree).mean()


def jensen_shannon(student: jax.Array, teacher: jax.Array) -> jax.Array:
  """What deep inversion is to increase, in nats: f32[], the batch mean.

  The Jensen-Shannon divergence of probabilities at temperature 3. Source: Yin
  et al., arXiv 1912.08795, equation 9.

  Args:
    student: logits [B,K].
    teacher: logits [B,K].
  """
  logs = [
    jax.nn.log_softmax(logits / _ADVERSARIAL_TEMPERATURE)
    for logits in (student, teacher)
  ]
  middle = jnp.logaddexp(*logs) - jnp.log(2.0)
  sides = [(jnp.exp(log) * (log - middle)).sum(-1) for log in logs]
  return sum(sides, jnp.zeros(())).mean() / 2


def total_variation(images: jax.Array) -> jax.Array:
  """Norms of the differences of neighbours, in four directions, f32[].

  Args:
    images: [B,H,W,C].
  """
  down, right = images[:, 1:], images[:, :, 1:]
  return (
    norm(down - images[:, :-1])
    + norm(right - images[:, :, :-1])
    + norm(down[:, :, 1:] - images[:, :-1, :-1])
    + norm(down[:, :, :-1] - images[:, :-1, 1:])
  )


def norm(x: jax.Array) -> jax.Array:
  """L2 norm of all values, f32[]; its gradient at zero is zero, not NaN."""
  square = jnp.square(x.astype(jnp.float32)).sum()
  positive = square > 0
  return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)
