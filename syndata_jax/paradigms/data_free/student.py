"""The student: what it makes of the pool, epoch by epoch.

The pool grows while the student learns. All models' epochs are one compiled
program nevertheless: the pool has its last size from the beginning, an epoch
draws from its first rows alone, and the number of steps follows the epoch.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.custom_batching import custom_vmap

from syndata_jax.data import augmentation
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import Learner, Own, Pool, variables
from syndata_jax.ensemble.sgd import Metrics, ModelState
from syndata_jax.ensemble.sgd import init as fresh_model
from syndata_jax.keys import stream
from syndata_jax.paradigms.data_free.losses import distillation_loss
from syndata_jax.paradigms.data_free.setup import Setup

# Of a student that has been trained before: see `released_key`.
KEY = "student_key"


class StudentState(NamedTuple):
  """One student in training."""

  epoch: jax.Array  # i32[], finished ones
  model: ModelState


# (state, key, images u8[S,H,W,C], teacher, whether to learn) -> state, metrics
Epoch = Callable[..., tuple[StudentState, Metrics]]


def learner(setup: Setup, training_set: TrainingSet, steps: int = 0) -> Learner:
  """Distillation on the growing pool.

  Args:
    setup: settings and tools.
    training_set: of all models; the teachers are released with it.
    steps: of an epoch, where it is to be shorter than the pool, for a trial.
  """
  del training_set  # the setup knows its sizes
  one_epoch = make_epoch(setup, steps)

  def epoch(
    state: StudentState, own: Own, pool: Pool
  ) -> tuple[StudentState, Metrics]:
    del pool
    teacher = own.released["teacher"]
    return one_epoch(state, _key(own), own.images, teacher)

  options = setup.options
  return Learner(
    num_epochs=setup.student.recipe.num_epochs,
    images=lambda number: images_shown(setup, number - 1, steps),
    init=lambda own, pool: init(setup, _key(own)),
    epoch=epoch,
    release=lambda state: variables(state.model),
    identity=setup.student.identity
    | {
      "passes": options.passes,
      "temperature": options.temperature,
      "cosine_epochs": options.cosine_epochs,
      "learning_rate_floor": options.learning_rate_floor,
      "synthetic_batch": options.synthetic_batch,
      "warmup_rounds": options.warmup_rounds,
    },
  )


def init(setup: Setup, key: jax.Array) -> StudentState:
  """A fresh student from its own key."""
  engine = setup.student
  model = fresh_model(key, engine.model, _rule(setup), setup.image_shape)
  return StudentState(jnp.zeros((), jnp.int32), model)


def images_shown(setup: Setup, epoch: int, steps: int = 0) -> int:
  """To one student in an epoch; 0 is the first; `steps` as in `learner`."""
  passes, each = _passes(setup, epoch, steps)
  return passes * each * setup.student.recipe.batch_size


def logits(setup: Setup, state: StudentState, images: jax.Array) -> jax.Array:
  """f32[B,K] in evaluation mode, of images as the network reads them."""
  engine = setup.student
  answer: Any = engine.model.apply(
    variables(state.model), images.astype(engine.dtype), False
  )
  return answer


def learning_rate(setup: Setup, epoch: jax.Array) -> jax.Array:
  """Of an epoch, 0 the first: a cosine down to its floor, and up again."""
  options, peak = setup.options, setup.student.recipe.learning_rate
  part = (1 + jnp.cos(jnp.pi * epoch / options.cosine_epochs)) / 2
  floor = options.learning_rate_floor
  return floor + (peak - floor) * part


def make_epoch(setup: Setup, steps: int = 0) -> Epoch:
  """One epoch of one student: some passes over the images that are there.

  Each pass has its own permutation, is cut into full batches, and the last one
  is filled up from the start of the permutation.

  Args:
    setup: settings and tools.
    steps: as in `learner`.

  Returns:
    `(state, key, images u8[S,H,W,C], teacher, learns) -> (state, metrics)`;
    where `learns`, bool[], is false, the state stays and the metrics are zero.
    The metrics are `loss`, and `accuracy`: how often it names the class that
    the teacher names, before the update.
  """
  batch = setup.student.recipe.batch_size
  step = _make_step(setup)

  def epoch(
    state: StudentState,
    key: jax.Array,
    images: jax.Array,
    teacher: Any,
    learns: jax.Array | bool = True,
  ) -> tuple[StudentState, Metrics]:
    number = same_in_all(state.epoch)
    learns = same_in_all(jnp.asarray(learns, jnp.int32))
    window = setup.window(number)
    passes, each = _passes(setup, number, steps)
    rate = learning_rate(setup, number)

    def one_pass(index: jax.Array, carry: Any) -> Any:
      draw = jax.random.fold_in(stream(key, "order"), number)
      draw = jax.random.fold_in(draw, index)
      order = shuffled(draw, images.shape[0], window)

      def one_step(index: jax.Array, carry: Any) -> Any:
        model, sums = carry
        position = (index * batch + jnp.arange(batch)) % window
        model, metrics = step(
          model, rate, key, images, order[position], teacher
        )
        return model, jax.tree.map(jnp.add, sums, metrics)

      return lax.fori_loop(0, each, one_step, carry)

    sums = {"loss": jnp.zeros(()), "accuracy": jnp.zeros(())}
    model, sums = lax.fori_loop(
      0, passes * learns, one_pass, (state.model, sums)
    )
    metrics = jax.tree.map(lambda total: total / (passes * each), sums)
    return StudentState(state.epoch + learns, model), metrics

  return epoch


def shuffled(key: jax.Array, size: int, window: jax.Array) -> jax.Array:
  """The rows below `window` in a random order, then the others, i32[size]."""
  rows = jnp.arange(size, dtype=jnp.int32)
  later = (rows >= window).astype(jnp.int32)
  draws = jax.random.bits(key, (size,))
  return lax.sort((later, draws, rows), num_keys=2)[2]


def to_released(keys: jax.Array) -> Any:
  """Typed keys of all students as what can be released, i32[M,w]."""
  return jax.random.key_data(keys).view(jnp.int32)


@custom_vmap
def same_in_all(number: jax.Array) -> jax.Array:
  """A number that all models have in common, as one number.

  Models that are vmapped would otherwise each have a number of steps of their
  own, and every step would be computed and then chosen or dropped by model.
  """
  return number


@same_in_all.def_vmap
def _one_for_all(
  size: int, batched: list[bool], number: jax.Array
) -> tuple[jax.Array, bool]:
  del size
  return number.max(0) if batched[0] else number, False


def _key(own: Own) -> jax.Array:
  """The student's key: its own, or that of the student that it repeats."""
  words = own.released.get(KEY)
  if words is None:
    return own.key
  words = lax.bitcast_convert_type(words, jnp.uint32)
  return jax.random.wrap_key_data(words, impl=jax.random.key_impl(own.key))


def _passes(setup: Setup, epoch: Any, steps: int) -> tuple[int, Any]:
  """Passes of an epoch, and the steps of each."""
  if steps:
    return 1, min(steps, -(-setup.window(0) // setup.student.recipe.batch_size))
  window, batch = setup.window(epoch), setup.student.recipe.batch_size
  return setup.options.passes, -(-window // batch)


def _rule(setup: Setup) -> optax.GradientTransformation:
  """SGD with coupled weight decay, but for the learning rate."""
  recipe = setup.student.recipe
  return optax.chain(
    optax.add_decayed_weights(recipe.weight_decay),
    optax.trace(decay=recipe.momentum),
  )


def _make_step(setup: Setup) -> Callable[..., tuple[ModelState, Metrics]]:
  """`(model, rate, key, images, index, teacher) -> (model, metrics)`."""
  engine, recipe, rule = setup.student, setup.student.recipe, _rule(setup)

  def step(
    model: ModelState,
    rate: jax.Array,
    key: jax.Array,
    images: jax.Array,
    index: jax.Array,
    teacher: Any,
  ) -> tuple[ModelState, Metrics]:
    draw = jax.random.fold_in(stream(key, "augmentation"), model.step)
    batch = engine.normalise(
      augmentation.gather_augmented(
        draw, images, index, recipe.shift, recipe.flip
      )
    )
    # What the teacher says of the moved images, and not of those in the pool.
    wanted: Any = setup.teacher.model.apply(teacher, batch, False)

    def loss(params: Any) -> tuple[jax.Array, tuple[Any, jax.Array]]:
      said, updated = engine.model.apply(
        {"params": params, "batch_stats": model.batch_stats},
        batch,
        True,
        mutable=["batch_stats"],
      )
      distance = distillation_loss(said, wanted, setup.options.temperature)
      return distance, (updated.get("batch_stats", {}), said)

    (distance, (batch_stats, said)), slope = jax.value_and_grad(
      loss, has_aux=True
    )(model.params)
    update, optimizer = rule.update(slope, model.optimizer, model.params)
    params = jax.tree.map(lambda x, u: x - rate * u, model.params, update)
    agree = (said.argmax(-1) == wanted.argmax(-1)).mean()
    after = ModelState(model.step + 1, params, batch_stats, optimizer)
    return after, {"loss": distance, "accuracy": agree}

  return step
