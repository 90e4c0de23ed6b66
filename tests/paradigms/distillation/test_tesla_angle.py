"""How far TESLA's gradient is off the exact one, on an expert of the digits.

A finding more than a check: start it with `-m slow -s` to read the angles.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax
from jax.flatten_util import ravel_pytree

from syndata_jax import data, models
from syndata_jax.paradigms.distillation.mtt import exact_gradient
from syndata_jax.paradigms.distillation.options import Options
from syndata_jax.paradigms.distillation.setup import from_module
from syndata_jax.paradigms.distillation.siamese import augment, parse
from syndata_jax.paradigms.distillation.synthetic import Synthetic
from syndata_jax.paradigms.distillation.tesla import tesla_gradient

# Of the expert, as in the config of the digits.
START, TARGET, BATCH, EXPERT_RATE = 3, 6, 256, 0.1
IMAGES_PER_CLASS, RATE = 10, 0.06
NETWORK = from_module(
  models.create("convnet", 10, width=32, depth=2), (8, 8, 1)
)
FIRST, UNRAVEL = ravel_pytree(NETWORK.init(jax.random.key(0)))
OPERATIONS = parse(Options.augmentation)


def angle(a, b):
  """Between two vectors, in degrees."""
  a, b = (np.asarray(v, np.float64).ravel() for v in (a, b))
  a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
  # Exact for small angles, where the arc cosine is not.
  halves = np.linalg.norm(a - b), np.linalg.norm(a + b)
  return np.degrees(2 * np.arctan2(*halves))


def logits(flat, images):
  return NETWORK.logits(UNRAVEL(flat), images)


def varied(key):
  return lambda number, images: augment(
    jax.random.fold_in(key, number), images, OPERATIONS, False, True
  )


@pytest.fixture(scope="module")
def segment():
  """(start f32[P], target f32[P], images f32[S,H,W,C], labels i32[S])."""
  digits = data.load("digits")
  images = (digits.train_images / 255.0 - 0.45) / 0.25
  labels = digits.train_labels
  vary = varied(jax.random.key(1))

  def loss(flat, number, index):
    answers = logits(flat, vary(number, images[index]))
    return optax.softmax_cross_entropy_with_integer_labels(
      answers, labels[index]
    ).mean()

  images, labels = jnp.asarray(images, jnp.float32), jnp.asarray(labels)

  def step(flat, batch):
    return flat - EXPERT_RATE * jax.grad(loss)(flat, *batch), None

  epoch = jax.jit(lambda flat, *batches: lax.scan(step, flat, batches)[0])
  draw, flat, walk = np.random.default_rng(0), FIRST, [FIRST]
  steps = -(-len(labels) // BATCH)
  for number in range(TARGET):
    order = draw.permutation(len(labels))
    index = np.resize(order, (steps, BATCH))
    flat = epoch(flat, number * steps + np.arange(steps), index)
    walk.append(flat)
  few = np.concatenate(
    [np.flatnonzero(labels == k)[:IMAGES_PER_CLASS] for k in range(10)]
  )
  return walk[START], walk[TARGET], images[few], labels[few]


def test_angles():
  assert angle([1, 0], [1, 1]) == pytest.approx(45)
  assert angle([2, 0], [1, 1e-9]) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(
  "steps, least, most", [(1, 0, 0.1), (10, 5, 35), (30, 20, 60), (100, 20, 70)]
)
def test_the_angle_of_tesla(segment, steps, least, most):
  """One step has the same gradient; more grow apart, but no right angle."""
  start, target, images, labels = segment
  synthetic = Synthetic(images, labels, jnp.float32(RATE))
  batches = jnp.broadcast_to(jnp.arange(len(labels)), (steps, len(labels)))
  by_images = [
    jax.jit(gradient, static_argnums=(0, 5))(
      logits, start, target, synthetic, batches, varied(jax.random.key(2))
    )[1].images
    for gradient in (exact_gradient, tesla_gradient)
  ]
  degrees = angle(*by_images)
  print(f"\n{steps} inner steps: {degrees:.1f} degrees off the exact gradient")
  assert least <= degrees <= most
