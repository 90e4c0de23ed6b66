"""DP-SGD of one model: Poisson batches, clipped sums, noise, an average."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from syndata_jax.data import augmentation
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import Engine, Learner, Own, Pool, data
from syndata_jax.ensemble.average import moved
from syndata_jax.ensemble.recipe import optimizer
from syndata_jax.ensemble.sgd import Metrics, means
from syndata_jax.ensemble.sgd import init as fresh_model
from syndata_jax.errors import UserError
from syndata_jax.keys import stream
from syndata_jax.paradigms.dpsgd import gradient_canaries
from syndata_jax.paradigms.dpsgd.clipping import Clipped, clipped_sum
from syndata_jax.paradigms.dpsgd.gradient_canaries import Canaries, Directions
from syndata_jax.paradigms.dpsgd.options import Options, expected_steps
from syndata_jax.privacy import SubsampledGaussian

# Enough to keep a device busy; more only takes memory.
_VIEWS_AT_ONCE = 512


class PrivateState(NamedTuple):
  """One model in private training."""

  step: jax.Array  # i32[], noisy steps taken
  params: Any  # float32 pytree
  average: Any  # of the parameters, what is released
  optimizer: Any  # state of the optax transformation
  # Where the options ask for them; they enter no variable that is released.
  canaries: Canaries | None = None


def private_sgd(
  engine: Engine,
  options: Options,
  mechanism: SubsampledGaussian,
  training_set: TrainingSet,
  steps: int = 0,
  method: str = "auto",
) -> Learner:
  """Learning with the guarantee of `mechanism`.

  Args:
    engine: network and recipe; the network must not mix examples.
    options: views, averaging and gradient canaries.
    mechanism: sampler, noise and divisor, accounted together.
    training_set: of all models; it has entered.
    steps: of an epoch, where it is to be shorter than the data, for a trial.
    method: of `clipping.METHODS`.

  Raises:
    UserError: batch norm, more steps than the mechanism accounts for, or more
      gradient canaries than the network has parameters.
  """
  recipe, examples = engine.recipe, training_set.size
  if examples != mechanism.num_examples:
    raise ValueError(
      f"{examples} examples: {mechanism.num_examples} are accounted for"
    )
  whole = expected_steps(recipe, examples)
  steps = min(steps or whole, whole)
  mechanism.refuse_more_steps(steps * recipe.num_epochs)
  rule, shape = optimizer(recipe, steps), training_set.image_shape
  refuse_batch_norm(engine, shape)
  step = _make_step(engine, options, mechanism, rule, method)

  count = options.white_box_canaries

  def init(own: Own, pool: Pool) -> PrivateState:
    fresh = fresh_model(own.key, engine.model, rule, shape)
    planted = gradient_canaries.toss(own.key, count) if count else None
    return PrivateState(
      fresh.step, fresh.params, fresh.params, fresh.optimizer, planted
    )

  def epoch(
    state: PrivateState, own: Own, pool: Pool
  ) -> tuple[PrivateState, Metrics]:
    state, metrics = lax.scan(
      lambda state, _: step(state, own, pool), state, length=steps
    )
    return state, means(metrics)

  views = steps * mechanism.expected_batch * options.augmentation_multiplicity
  return Learner(
    num_epochs=recipe.num_epochs,
    images=lambda epoch: views,
    init=init,
    epoch=epoch,
    release=lambda state: {"params": state.average, "batch_stats": {}},
    shared=_directions(engine, shape, count) if count else None,
    canaries=(lambda state: tuple(state.canaries)) if count else None,
    identity=engine.identity
    | dataclasses.asdict(options)
    | dataclasses.asdict(mechanism),
  )


def microbatch_size(options: Options, mechanism: SubsampledGaussian) -> int:
  """Examples taken at once: the number that was set, or a rule.

  The rule takes a quarter of the expected batch, so that little is computed
  for padding, but not more than 512 views.
  """
  if options.microbatch:
    return min(options.microbatch, mechanism.batch_size())
  most = _VIEWS_AT_ONCE // options.augmentation_multiplicity
  return max(1, min(mechanism.expected_batch // 4, most))


def _directions(
  engine: Engine, shape: tuple[int, ...], count: int
) -> Directions:
  """Directions of canaries among the parameters of one model.

  Args:
    engine: the network.
    shape: (H, W, C).
    count: canaries, at least 1.
  """
  variables = jax.eval_shape(
    lambda key: engine.model.init(key, jnp.zeros((1, *shape)), True),
    jax.random.key(0),
  )
  leaves = jax.tree.leaves(variables["params"])
  size = sum(leaf.size for leaf in leaves)
  return gradient_canaries.draw_directions(count, size)


def refuse_batch_norm(engine: Engine, shape: tuple[int, ...]) -> None:
  """Raises UserError where one example would enter another one's gradient."""
  variables = jax.eval_shape(
    lambda key: engine.model.init(key, jnp.zeros((1, *shape)), True),
    jax.random.key(0),
  )
  if "batch_stats" in variables:
    raise UserError(
      "model_options norm=batch: must be group or instance under dpsgd, since"
      " batch norm mixes examples"
    )


def _make_step(
  engine: Engine,
  options: Options,
  mechanism: SubsampledGaussian,
  rule: optax.GradientTransformation,
  method: str,
) -> Callable[[PrivateState, Own, Pool], tuple[PrivateState, Metrics]]:
  recipe, views = engine.recipe, options.augmentation_multiplicity
  microbatch = microbatch_size(options, mechanism)

  def part(
    params: Any,
    own: Own,
    pool: Pool,
    key: jax.Array,
    index: jax.Array,
    valid: jax.Array,
  ) -> Clipped:
    pixels, labels, members = data(own, pool)
    rows = members[index]
    images = augmentation.gather_augmented(
      key, pixels, jnp.repeat(rows, views), recipe.shift, recipe.flip
    )
    return clipped_sum(
      engine,
      params,
      images.reshape(microbatch, views, *images.shape[1:]),
      labels[rows],
      valid,
      mechanism.clip_norm,
      method,
    )

  def step(
    state: PrivateState, own: Own, pool: Pool
  ) -> tuple[PrivateState, Metrics]:
    key = jax.random.fold_in(stream(own.key, "dpsgd"), state.step)
    index, padding = mechanism.sample(key, microbatch)
    drawn = (~padding).sum()

    def add(number: jax.Array, carry: tuple[Any, jax.Array]) -> Any:
      total, sums = carry
      cut = lambda a: lax.dynamic_slice_in_dim(
        a, number * microbatch, microbatch
      )
      views_key = jax.random.fold_in(stream(key, "augmentation"), number)
      valid = ~cut(padding)
      clipped = part(state.params, own, pool, views_key, cut(index), valid)
      of_views = jnp.stack([clipped.losses, clipped.correct])
      sums += jnp.where(valid, of_views, 0).sum(1)
      return jax.tree.map(jnp.add, total, clipped.total), sums

    zeros = jax.tree.map(jnp.zeros_like, state.params), jnp.zeros(2)
    # Padding stands at the end; microbatches of nothing else are left out.
    total, sums = lax.fori_loop(0, -(-drawn // microbatch), add, zeros)
    planted, directions = state.canaries, pool.shared
    if planted is not None:
      total = gradient_canaries.join(mechanism, key, directions, planted, total)
    noisy_mean = mechanism.noisy_mean(key, total)
    if planted is not None:
      planted = gradient_canaries.observe(
        mechanism, directions, planted, noisy_mean
      )
    update, opt_state = rule.update(noisy_mean, state.optimizer, state.params)
    params = optax.apply_updates(state.params, update)
    average = moved(state.average, params, state.step, options.ema_decay)
    # These means are for the person who audits; they are not released.
    loss, correct = sums / jnp.maximum(drawn, 1)
    metrics = {"loss": loss, "accuracy": correct}
    state = PrivateState(state.step + 1, params, average, opt_state, planted)
    return state, metrics

  return step
