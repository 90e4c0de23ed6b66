"""Deep inversion: the pixels themselves are optimised, from noise.

Nothing is carried from round to round. The pixels are those that the network
reads, and after every update they are put back into what a picture can show.
Sources: Yin et al., arXiv 1912.08795, section 3; the schedule and weights by
which Fang et al., arXiv 2112.15278, compare with it, in their code.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from syndata_jax.keys import stream
from syndata_jax.paradigms.data_free.losses import (
  jensen_shannon,
  norm,
  statistics_loss,
  total_variation,
)
from syndata_jax.paradigms.data_free.setup import Setup, Task, jitter


class _Best(NamedTuple):
  loss: jax.Array  # f32[]
  images: jax.Array  # f32[B,H,W,C]


def init(setup: Setup, key: jax.Array) -> tuple[()]:
  """See `setup.Method`."""
  del setup, key
  return ()


def invert(
  setup: Setup, state: tuple[()], task: Task
) -> tuple[tuple[()], jax.Array, jax.Array]:
  """See `setup.Method`."""
  options = setup.options
  gradient = jax.value_and_grad(_make_loss(setup, task))
  rule = optax.adam(options.pixel_learning_rate, b1=0.5, b2=0.99)
  darkest, brightest = setup.read(jnp.zeros(())), setup.read(jnp.ones(()))
  shape = options.synthetic_batch, *setup.image_shape
  begin = jax.random.normal(stream(task.key, "noise"), shape)

  def iteration(carry: Any, number: jax.Array) -> tuple[Any, None]:
    images, adam, best = carry
    loss, slope = gradient(images, number)
    better = loss < best.loss
    best = jax.tree.map(
      lambda new, old: jnp.where(better, new, old), _Best(loss, images), best
    )
    update, adam = rule.update(slope, adam)
    images = jnp.clip(images + update, darkest, brightest)
    return (images, adam, best), None

  carry = begin, rule.init(begin), _Best(jnp.asarray(jnp.inf), begin)
  (_, _, best), _ = lax.scan(iteration, carry, jnp.arange(options.iterations))
  mean, std = map(jnp.asarray, (setup.student.mean, setup.student.std))
  return state, best.images * std + mean, best.loss


def _make_loss(setup: Setup, task: Task) -> Any:
  """`(images, iteration) -> loss`."""
  options, recipe = setup.options, setup.student.recipe
  targets = task.targets(setup)

  def loss(images: jax.Array, number: jax.Array) -> jax.Array:
    key = jax.random.fold_in(stream(task.key, "jitter"), number)
    moved = jitter(key, images, recipe.shift, recipe.flip, roll=True)
    seen = setup.look(task.teacher, moved)
    distance = statistics_loss(seen.batch, seen.running)
    total = options.statistics_weight * distance
    if options.one_hot_weight:
      entropies = optax.softmax_cross_entropy_with_integer_labels(
        seen.logits, targets
      )
      total += options.one_hot_weight * entropies.mean()
    if task.student is not None:
      apart = jensen_shannon(task.student(moved), seen.logits)
      total -= task.adversarial * apart
    if options.variation_weight:
      total += options.variation_weight * total_variation(images)
    if options.norm_weight:
      total += options.norm_weight * jax.vmap(norm)(images).mean()
    return total

  return loss
