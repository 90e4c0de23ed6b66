"""DC, data-set condensation, and DSA: equal gradients on networks in training.

DSA, differentiable siamese augmentation, is DC on augmented images: in each
comparison the private and the synthetic images of a class go through the same
operation with the same parameters.

Sources: DC, Zhao et al., arXiv 2006.05929, section 3 and algorithm 1, with the
distance of its section 3.3, one cosine for each output; DSA, Zhao and Bilen,
arXiv 2102.08259, section 3.2.

Beside the authors' own functions (VICO-UoE/DatasetCondensation: `DiffAugment`,
`match_loss`, `epoch`, its ConvNet padded by one) on the eight first models of
`configs/digits/distillation.py:dsa`, from the same images, DSA gives networks
of 97.2 +- 0.3% test accuracy and theirs 97.3 +- 0.2%; difference by model
-0.2 +- 0.2. Theirs hold 97.1 to 97.5% too where the seeds of the augmentation
come from PyTorch's own generator, mirroring is added, or the network trains
between updates without augmentation.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from syndata_jax.ensemble import Pool, answers, shuffled_batches
from syndata_jax.keys import stream
from syndata_jax.paradigms.distillation import private_batches
from syndata_jax.paradigms.distillation.methods import Method
from syndata_jax.paradigms.distillation.setup import Setup, Shadow, Step
from syndata_jax.paradigms.distillation.siamese import augment
from syndata_jax.paradigms.distillation.synthetic import (
  DistillationState,
  Synthetic,
  along_images,
  descend,
  rule,
)

# `lr_net` and `batch_train` of the authors' code (DatasetCondensation,
# main.py): of the network between two updates of the images.
_NETWORK_RATE = 0.01
_NETWORK_BATCH = 256


def gradient_distance(real: Any, synthetic: Any) -> jax.Array:
  """Sum over weights and their outputs of 1 - cosine.

  Args:
    real: gradients of a network, a pytree with outputs on the last axis.
    synthetic: the same tree. Vectors (biases, norms) count nothing.
  """

  def of_weight(a: jax.Array, b: jax.Array) -> jax.Array:
    if a.ndim < 2:
      return jnp.zeros((), a.dtype)
    a, b = (g.reshape(-1, g.shape[-1]) for g in (a, b))
    # Written so that its derivative is finite where a gradient vanishes.
    length = jnp.sqrt((a**2).sum(0) * (b**2).sum(0) + 1e-30)
    return (1 - (a * b).sum(0) / (length + 1e-6)).sum()

  return optax.tree.sum(jax.tree.map(of_weight, real, synthetic))


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

  def losses(params: Any, images: jax.Array, labels: jax.Array) -> jax.Array:
    return answers(network.logits(params, images), labels).loss

  @jax.grad
  def gradient(params: Any, images: jax.Array, labels: jax.Array) -> Any:
    return losses(params, images, labels).mean()

  @jax.grad
  def of_private(
    params: Any, images: jax.Array, label: jax.Array, counted: jax.Array
  ) -> Any:
    labels = jnp.full(images.shape[:1], label)
    return private_batches.mean(losses(params, images, labels), counted)

  def of_synthetic(params: Any, images: jax.Array, label: jax.Array) -> Any:
    return gradient(params, images, jnp.full(images.shape[:1], label))

  def match(
    state: DistillationState,
    key: jax.Array,
    params: Any,
    shadow: Shadow,
    pool: Pool,
  ) -> tuple[DistillationState, jax.Array]:
    """One update of the images; every class by itself."""
    batch = private_batches.draw(setup, stream(key, "real"), shadow, pool)
    keys = jax.random.split(stream(key, "augmentation"), setup.num_classes)
    images = state.synthetic.images

    def compare(
      one_class: tuple[jax.Array, ...],
    ) -> tuple[jax.Array, jax.Array]:
      class_key, private, counted, synthetic, label = one_class
      view = lambda x: augment(class_key, x, operations, True)
      wanted = of_private(params, view(private), label, counted)
      wanted = lax.stop_gradient(wanted)
      return jax.value_and_grad(
        lambda x: gradient_distance(
          wanted, of_synthetic(params, view(x), label)
        )
      )(synthetic)

    classes = jnp.arange(setup.num_classes)
    by_class = images.reshape(-1, per_class, *images.shape[1:])
    distances, gradients = lax.map(compare, (keys, *batch, by_class, classes))
    update = along_images(state.synthetic, gradients.reshape(images.shape))
    return descend(optimizer, state, update), distances.sum()

  def train(params: Any, key: jax.Array, synthetic: Synthetic) -> Any:
    """The network learns from the images as they are now."""
    size = synthetic.images.shape[0]
    batch = min(_NETWORK_BATCH, size)
    steps = -(-size // batch)

    def one_epoch(params: Any, key: jax.Array) -> tuple[Any, None]:
      order = shuffled_batches(
        stream(key, "order"), jnp.arange(size), batch, steps
      )

      def one_step(
        params: Any, numbered: tuple[jax.Array, jax.Array]
      ) -> tuple[Any, None]:
        number, index = numbered
        view_key = jax.random.fold_in(stream(key, "augmentation"), number)
        images = augment(view_key, synthetic.images[index], operations, False)
        gradients = gradient(params, images, synthetic.labels[index])
        move = lambda p, g: p - _NETWORK_RATE * g
        return jax.tree.map(move, params, gradients), None

      return lax.scan(one_step, params, (jnp.arange(steps), order))

    keys = jax.random.split(stream(key, "epochs"), options.inner_epochs)
    return lax.scan(one_epoch, params, keys)[0]

  def step(
    state: DistillationState,
    key: jax.Array,
    shadow: Shadow,
    pool: Pool,
    segment: None,
  ) -> tuple[DistillationState, jax.Array]:
    del segment
    params = network.init(stream(key, "network"))

    def outer(
      carry: tuple[DistillationState, Any], number: jax.Array
    ) -> tuple[tuple[DistillationState, Any], jax.Array]:
      state, params = carry
      outer_key = jax.random.fold_in(key, number)
      params = train(params, outer_key, state.synthetic)
      state, loss = match(state, outer_key, params, shadow, pool)
      return (state, params), loss

    # The network starts untrained, and nothing follows the last update.
    state, first = match(state, stream(key, "first"), params, shadow, pool)
    (state, _), rest = lax.scan(
      outer, (state, params), jnp.arange(options.outer_steps - 1)
    )
    return state, (first + rest.sum()) / options.outer_steps

  return step


def make_siamese(setup: Setup) -> Step:
  """The step of DSA; see `make`."""
  return make(setup, setup.operations)


METHOD = Method(make)
DSA = Method(make_siamese)
