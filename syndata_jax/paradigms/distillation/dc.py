"""DC, data-set condensation: equal gradients on networks in training.

Source: Zhao et al., arXiv 2006.05929, section 3 and algorithm 1; the distance
of its section 3.3, one cosine for each output.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from syndata_jax.ensemble.epoch import Pool, answers, shuffled_batches
from syndata_jax.keys import stream
from syndata_jax.paradigms.distillation import real
from syndata_jax.paradigms.distillation.augmentation import augment
from syndata_jax.paradigms.distillation.setup import (
  Setup,
  Shadow,
  Step,
  fresh_network,
)
from syndata_jax.paradigms.distillation.synthetic import (
  Distilled,
  Synthetic,
  along_images,
  descend,
  rule,
)

_NETWORK_RATE = 0.01
_NETWORK_BATCH = 256


def gradient_distance(real: Any, synthetic: Any) -> jax.Array:
  """Sum over weights and their outputs of 1 - cosine.

  Args:
    real: gradients of a network, a pytree with outputs on the last axis.
    synthetic: the same tree. Vectors (biases, norms) count nothing.
  """

  def of_one(a: jax.Array, b: jax.Array) -> jax.Array:
    if a.ndim < 2:
      return jnp.zeros_like(a, shape=())
    a, b = (g.reshape(-1, g.shape[-1]) for g in (a, b))
    # Written so that its derivative is finite where a gradient vanishes.
    length = jnp.sqrt((a**2).sum(0) * (b**2).sum(0) + 1e-30)
    return (1 - (a * b).sum(0) / (length + 1e-6)).sum()

  return optax.tree.sum(jax.tree.map(of_one, real, synthetic))


def make(setup: Setup, operations: tuple[str, ...] = ()) -> Step:
  """The step of DC: one random network, `outer_steps` updates.

  Args:
    setup: settings and tools.
    operations: of a siamese augmentation while matching and while training
      the network; none in DC.
  """
  options, network = setup.options, setup.network
  optimizer = rule(options, soft=False)
  per_class = options.images_per_class

  def gradient(params: Any, images: jax.Array, label: jax.Array) -> Any:
    labels = jnp.full(images.shape[:1], label)
    return jax.grad(
      lambda p: answers(network.logits(p, images), labels).loss.mean()
    )(params)

  def match(state: Distilled, key: jax.Array, params, shadow, pool):
    """One update of the images; every class by itself."""
    batch = real.draw(setup, stream(key, "real"), shadow, pool)
    keys = jax.random.split(stream(key, "augmentation"), setup.num_classes)
    images = state.synthetic.images

    def of_class(given):
      own_key, private, synthetic, label = given
      view = lambda x: augment(own_key, x, operations, True)
      wanted = lax.stop_gradient(gradient(params, view(private), label))
      return jax.value_and_grad(
        lambda x: gradient_distance(wanted, gradient(params, view(x), label))
      )(synthetic)

    classes = jnp.arange(setup.num_classes)
    by_class = images.reshape(-1, per_class, *images.shape[1:])
    losses, found = lax.map(of_class, (keys, batch, by_class, classes))
    update = along_images(state.synthetic, found.reshape(images.shape))
    return descend(optimizer, state, update), losses.sum()

  def train(params: Any, key: jax.Array, synthetic: Synthetic) -> Any:
    """The network learns from the images as they are now."""
    size = synthetic.images.shape[0]
    batch = min(_NETWORK_BATCH, size)
    steps = -(-size // batch)

    def one_epoch(params: Any, key: jax.Array):
      order = shuffled_batches(
        stream(key, "order"), jnp.arange(size), batch, steps
      )

      def one_step(params: Any, given):
        number, index = given
        images = augment(
          jax.random.fold_in(stream(key, "augmentation"), number),
          synthetic.images[index],
          operations,
          False,
        )
        labels = synthetic.labels[index]
        found = jax.grad(
          lambda p: answers(network.logits(p, images), labels).loss.mean()
        )(params)
        move = lambda p, g: p - _NETWORK_RATE * g
        return jax.tree.map(move, params, found), None

      return lax.scan(one_step, params, (jnp.arange(steps), order))

    keys = jax.random.split(stream(key, "epochs"), options.inner_epochs)
    return lax.scan(one_epoch, params, keys)[0]

  def step(
    state: Distilled, key: jax.Array, shadow: Shadow, pool: Pool, fed: None
  ):
    del fed
    params = fresh_network(setup, stream(key, "network"), state)

    def outer(carry, number: jax.Array):
      state, params = carry
      own_key = jax.random.fold_in(key, number)
      params = train(params, own_key, state.synthetic)
      state, loss = match(state, own_key, params, shadow, pool)
      return (state, params), loss

    # The network starts untrained, and nothing follows the last update.
    state, first = match(state, stream(key, "first"), params, shadow, pool)
    (state, _), rest = lax.scan(
      outer, (state, params), jnp.arange(options.outer_steps - 1)
    )
    return state, (first + rest.sum()) / options.outer_steps

  return step
