"""Fast: a generator is adapted for a moment, and its images are kept.

Each round draws new codes and gives codes and generator a new Adam; of its few
iterations the images of the smallest loss are kept. The generator goes on in
the next round, or, meta-learnt, it follows what its adapted copy has met.
Sources: Fang et al., arXiv 2112.15278 (Fast-Datafree); Aerni et al., arXiv
2404.17399, whose code uses the statistics alone.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from syndata_jax.keys import stream
from syndata_jax.paradigms.data_free import generator as generators
from syndata_jax.paradigms.data_free.generator import Generator
from syndata_jax.paradigms.data_free.losses import (
  Statistics,
  disagreement,
  statistics_loss,
)
from syndata_jax.paradigms.data_free.options import Options
from syndata_jax.paradigms.data_free.setup import Setup, Task, jitter


class State(NamedTuple):
  """What is carried from round to round.

  Attributes:
    params: of the generator.
    average: of the batches' statistics, over the rounds; one for each layer.
    meta: Adam of a meta-learnt generator, () without.
  """

  params: Any
  average: tuple[Statistics, ...]
  meta: Any


class _Best(NamedTuple):
  loss: jax.Array  # f32[]
  pixels: jax.Array  # f32[B,H,W,C]


def init(setup: Setup, key: jax.Array) -> State:
  """See `setup.Method`."""
  params = generators.init(
    _generator(setup), stream(key, "generator"), setup.options.code_size
  )
  shapes = jax.eval_shape(lambda: _blank_look(setup).batch)
  average = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
  meta = _adam().init(params) if setup.options.meta_learnt else ()
  return State(params, average, meta)


def invert(
  setup: Setup, state: State, task: Task
) -> tuple[State, jax.Array, jax.Array]:
  """See `setup.Method`."""
  options, rule = setup.options, _adam()
  if options.meta_learnt:
    state = state._replace(params=_begun_anew(options, task, state.params))
  codes = jax.random.normal(
    stream(task.key, "codes"), (options.synthetic_batch, options.code_size)
  )
  gradient = jax.value_and_grad(_make_loss(setup, state, task), has_aux=True)
  rates = options.generator_learning_rate, options.code_learning_rate

  def iteration(carry: Any, number: jax.Array) -> tuple[Any, Any]:
    learnt, adam, best, total = carry
    (loss, (pixels, batch)), slope = gradient(learnt, number)
    better = loss < best.loss
    best = jax.tree.map(
      lambda new, old: jnp.where(better, new, old), _Best(loss, pixels), best
    )
    total = jax.tree.map(jnp.add, total, slope[0])
    update, adam = rule.update(slope, adam)
    learnt = tuple(
      jax.tree.map(lambda x, u, rate=rate: x - rate * u, part, change)
      for part, change, rate in zip(learnt, update, rates, strict=True)
    )
    return (learnt, adam, best, total), batch

  blank = jnp.zeros((options.synthetic_batch, *setup.image_shape))
  learnt = state.params, codes
  carry = (
    learnt,
    rule.init(learnt),
    _Best(jnp.asarray(jnp.inf), blank),
    jax.tree.map(jnp.zeros_like, state.params),
  )
  carry, batches = lax.scan(iteration, carry, jnp.arange(options.iterations))
  (params, _), _, best, total = carry
  last = jax.tree.map(lambda each: each[-1], batches)
  average = _mixed(_momentum(options, task), last, state.average)
  meta = state.meta
  if options.meta_learnt:
    update, meta = rule.update(total, meta)
    rate = options.generator_learning_rate * options.iterations
    params = jax.tree.map(lambda x, u: x - rate * u, state.params, update)
  return State(params, average, meta), best.pixels, best.loss


def _make_loss(setup: Setup, state: State, task: Task) -> Any:
  """`((params, codes), iteration) -> (loss, (pixels, batch statistics))`."""
  options, recipe = setup.options, setup.student.recipe
  generator, targets = _generator(setup), task.targets(setup)
  momentum = _momentum(options, task)

  def loss(learnt: tuple[Any, jax.Array], number: jax.Array) -> Any:
    pixels = generators.generate(generator, *learnt)
    key = jax.random.fold_in(stream(task.key, "jitter"), number)
    moved = jitter(key, pixels, recipe.shift, recipe.flip, roll=False)
    images = setup.read(moved)
    seen = setup.look(task.teacher, images)
    compared = _mixed(momentum, seen.batch, state.average)
    total = options.statistics_weight * statistics_loss(compared, seen.running)
    if options.one_hot_weight:
      entropies = optax.softmax_cross_entropy_with_integer_labels(
        seen.logits, targets
      )
      total += options.one_hot_weight * entropies.mean()
    if task.student is not None:
      apart = disagreement(task.student(images), seen.logits)
      total -= task.adversarial * apart
    return total, (pixels, seen.batch)

  return loss


def _adam() -> optax.GradientTransformation:
  return optax.scale_by_adam(b1=0.5, b2=0.999)


def _generator(setup: Setup) -> Generator:
  return Generator(setup.image_shape, setup.options.generator_width)


def _momentum(options: Options, task: Task) -> jax.Array:
  """Of the statistics; the first round has none before it."""
  return jnp.where(task.number > 0, options.statistics_momentum, 0.0)


def _mixed(
  momentum: jax.Array,
  batch: tuple[Statistics, ...],
  average: tuple[Statistics, ...],
) -> tuple[Statistics, ...]:
  return jax.tree.map(
    lambda new, old: (1 - momentum) * new + momentum * old, batch, average
  )


def _begun_anew(options: Options, task: Task, params: Any) -> Any:
  """The parameters, their first layers fresh in the round that says so."""
  if not options.reset_round:
    return params
  # Rounds are counted from 1 where this was published.
  due = task.number + 1 == options.warmup_rounds + options.reset_round
  fresh = generators.reset_first_layers(stream(task.key, "reset"), params)
  return jax.tree.map(lambda new, old: jnp.where(due, new, old), fresh, params)


def _blank_look(setup: Setup) -> Any:
  images = jnp.zeros((2, *setup.image_shape))
  fresh = setup.teacher.model.init(jax.random.key(0), images, False)
  return setup.look(fresh, images)
