"""SGD of one model: state, loss, step, epoch. What most paradigms end with."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax import lax

from syndata_jax.data import augmentation
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble.engine import Engine
from syndata_jax.ensemble.learner import Learner, Own, Pool, data
from syndata_jax.ensemble.recipe import optimizer, steps_per_epoch
from syndata_jax.keys import stream


class ModelState(NamedTuple):
  """One model in training."""

  step: jax.Array  # i32[], steps taken
  params: Any  # float32 pytree
  batch_stats: Any  # running statistics of batch norm, {} without
  optimizer: Any  # state of the optax transformation


class Answers(NamedTuple):
  """What the network said of each example of a batch, in training mode."""

  loss: jax.Array  # f32[B], cross-entropy in nats
  correct: jax.Array  # bool[B]


Metrics = dict[str, jax.Array]
# (key, images [N,H,W,C], i32[B]) -> images [B,H,W,C]
Gather = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
# (update, own) -> update
Rescale = Callable[[Any, Own], Any]
# (state, index i32[B], own, pool) -> (state, metrics of each example)
Step = Callable[[Any, jax.Array, Own, Pool], tuple[Any, Metrics]]


def sgd(
  engine: Engine,
  training_set: TrainingSet,
  steps: int = 0,
  gather: Gather | None = None,
  rescale: Rescale | None = None,
) -> Learner:
  """Learning by the engine's recipe.

  Args:
    engine: network and recipe.
    training_set: of all models; it has entered.
    steps: of an epoch, where it is to be shorter than the data, for a trial.
    gather: takes a batch from the images, where not as the recipe says.
    rescale: changes an update by what the model was given.

  Raises:
    UserError: a batch larger than one model's data.
  """
  recipe = engine.recipe
  whole = steps_per_epoch(recipe, training_set.size)
  steps = min(steps or whole, whole)
  rule = optimizer(recipe, steps)
  step = make_step(engine, rule, gather, rescale)
  shape = training_set.image_shape
  return Learner(
    num_epochs=recipe.num_epochs,
    images=lambda epoch: steps * recipe.batch_size,
    init=lambda own, pool: init(own.key, engine.model, rule, shape),
    epoch=make_epoch(step, recipe.batch_size, steps),
    release=variables,
    identity=engine.identity,
  )


def variables(state: ModelState) -> dict[str, Any]:
  """What `module.apply` takes."""
  return {"params": state.params, "batch_stats": state.batch_stats}


def init(
  key: jax.Array,
  model: nn.Module,
  optimizer: optax.GradientTransformation,
  image_shape: tuple[int, int, int],
) -> ModelState:
  """A fresh model from its own key.

  Args:
    key: of the model.
    model: called as `model(images, train)`.
    optimizer: whose state begins here.
    image_shape: (H, W, C).
  """
  images = jnp.zeros((1, *image_shape))
  fresh = model.init(stream(key, "init"), images, False)
  params = fresh["params"]
  return ModelState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    batch_stats=fresh.get("batch_stats", {}),
    optimizer=optimizer.init(params),
  )


def make_epoch(
  step: Step, batch_size: int, steps: int
) -> Callable[[Any, Own, Pool], tuple[Any, Metrics]]:
  """One epoch of one model: the body of the compiled program.

  Args:
    step: one update; the state counts them in its field `step`.
    batch_size: examples of a step.
    steps: of the epoch.

  Returns:
    `epoch(state, own, pool) -> (state, means of the metrics)`.
  """

  def epoch(state: Any, own: Own, pool: Pool) -> tuple[Any, Metrics]:
    key = jax.random.fold_in(stream(own.key, "order"), state.step // steps)
    batches = shuffled_batches(key, data(own, pool).rows, batch_size, steps)
    state, metrics = lax.scan(
      lambda state, index: step(state, index, own, pool), state, batches
    )
    return state, means(metrics)

  return epoch


def make_step(
  engine: Engine,
  optimizer: optax.GradientTransformation,
  gather: Gather | None = None,
  rescale: Rescale | None = None,
) -> Step:
  """One update on a batch.

  Args:
    engine: network and recipe.
    optimizer: by the recipe.
    gather: takes a batch from the images; by default with the recipe's shifts
      and flips.
    rescale: as in `sgd`.

  Returns:
    `step(state, index i32[B], own, pool) -> (state, metrics)`, with `loss`
    f32[B] and `accuracy` bool[B] of the examples, before the update.
  """
  recipe = engine.recipe
  gradient = jax.grad(partial(loss, engine), has_aux=True)

  def by_recipe(key: jax.Array, pool: jax.Array, index: jax.Array) -> jax.Array:
    return augmentation.gather_augmented(
      key, pool, index, recipe.shift, recipe.flip
    )

  def step(
    state: ModelState, index: jax.Array, own: Own, pool: Pool
  ) -> tuple[ModelState, Metrics]:
    key = jax.random.fold_in(stream(own.key, "augmentation"), state.step)
    images, labels, _ = data(own, pool)
    batch = (gather or by_recipe)(key, images, index)
    gradients, (batch_stats, answered) = gradient(
      state.params, state.batch_stats, batch, labels[index]
    )
    update, opt_state = optimizer.update(
      gradients, state.optimizer, state.params
    )
    if rescale is not None:
      update = rescale(update, own)
    params = optax.apply_updates(state.params, update)
    after = ModelState(state.step + 1, params, batch_stats, opt_state)
    return after, {"loss": answered.loss, "accuracy": answered.correct}

  return step


def loss(
  engine: Engine,
  params: Any,
  batch_stats: Any,
  images: jax.Array,
  labels: jax.Array,
) -> tuple[jax.Array, tuple[Any, Answers]]:
  """Mean cross-entropy of one batch in training mode.

  Args:
    engine: network and normalisation.
    params: of one model.
    batch_stats: its running statistics, {} without.
    images: u8[B,H,W,C], or floating as the network reads them.
    labels: i32[B], or logits of soft labels, floating [B,K].

  Returns:
    (loss, (new batch_stats, answers)).
  """
  logits, updated = engine.model.apply(
    {"params": params, "batch_stats": batch_stats},
    engine.normalise(images),
    True,
    mutable=["batch_stats"],
  )
  answered = answers(logits, labels)
  return answered.loss.mean(), (updated.get("batch_stats", {}), answered)


def answers(logits: jax.Array, labels: jax.Array) -> Answers:
  """Judges logits [B,K] by labels i32[B], or by logits of soft ones [B,K]."""
  if jnp.issubdtype(labels.dtype, jnp.floating):
    losses = optax.softmax_cross_entropy(logits, jax.nn.softmax(labels))
    labels = jnp.argmax(labels, axis=-1)
  else:
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  return Answers(losses, jnp.argmax(logits, axis=-1) == labels)


def means(metrics: Metrics) -> Metrics:
  """The mean of each metric over everything that it was measured on."""
  return jax.tree.map(lambda each: each.mean(dtype=jnp.float32), metrics)


def shuffled_batches(
  key: jax.Array, rows: jax.Array, batch_size: int, steps: int
) -> jax.Array:
  """The batches of one epoch, i32[steps, batch_size].

  A fresh permutation of the rows, cut into full batches; the last one is
  filled up from the start of the same permutation. So every example is met
  once, a few of the last batch's twice, and all batches weigh the same: 195
  full steps for the 49,750 images of CIFAR-10 that a model has. (The reference
  code's last batch is a short one.)

  Args:
    key: of the epoch.
    rows: i32[n].
    batch_size: B.
    steps: of the epoch, ceil(n / B) for a whole one.
  """
  return filled(jax.random.permutation(key, rows), batch_size, steps)


def filled(rows: jax.Array, batch_size: int, steps: int) -> jax.Array:
  """Rows i[n] in their order, and again from the start: i[steps,batch_size]."""
  position = jnp.arange(steps * batch_size) % rows.shape[0]
  return rows[position].reshape(steps, batch_size)
